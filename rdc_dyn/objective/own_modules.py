"""Check, copy and describe modules of the user's own, by the part of the objective that they are for."""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Mapping
from difflib import get_close_matches
from typing import ClassVar, Protocol

import torch
from torch import Tensor, nn

from rdc_dyn.objective.architectures import Shape
from rdc_dyn.status import UserError, first_line

#: Modules passed by the user, by part.
Own = Mapping[str, nn.Module]

PARTS = ("encoder", "decoder", "classifier")
#: What a part returns for each input row.
_MEANINGS = {
    "encoder": "mean and log-variance of each latent dimension",
    "decoder": "one for each component of x",
    "classifier": "a logit for each class",
}
#: Longest printed structure of a module that is kept, in characters.
_PRINTED = 2000


class Part(Protocol):
    """What a scenario says of a part of the objective: its kind, and whether that is a module that is passed."""

    @property
    def kind(self) -> str:
        """Its kind."""

    own: ClassVar[bool]


def require_mapping(own: Own) -> None:
    """Raise a UserError for what is no mapping of modules."""
    if not isinstance(own, Mapping):
        raise UserError(f'networks: is a {type(own).__name__}; expected a dict such as {{"encoder": module}}')


def check_own(kind: str, parts: Mapping[str, Part], own: Own) -> None:
    """Raise a UserError, before any data are read, for modules that no part asks for and for missing ones."""
    require_mapping(own)
    for name, module in own.items():
        if name not in PARTS:
            near = get_close_matches(str(name), PARTS, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise UserError(f"networks: {name!r} is no part of an objective; expected {', '.join(PARTS)}{hint}")
        if not parts:
            raise UserError(f"networks: {kind} takes no modules; expected amortised or importance_weighted")
        if not parts[name].own:
            wanted = f"objective.{name}.kind is {parts[name].kind}; set it to module"
            raise UserError(f"networks: a module was passed, but {wanted}")
        if not isinstance(module, nn.Module):
            raise UserError(f"networks: {name} is a {type(module).__name__}; expected a torch.nn.Module")
    for name, part in parts.items():
        if part.own and name not in own:
            raise UserError(
                f"objective.{name}: kind module is a torch.nn.Module of your own; name its file, as path: "
                f"my_models.py:{name.capitalize()}, or pass it in Python: "
                f'rdc_dyn.run(scenario, output, networks={{"{name}": module}})'
            )


def copies(own: Own, like: Tensor) -> dict[str, nn.Module]:
    """Copy modules to the dtype and device of `like`, leaving the originals as they are.

    They are copied together, so that what they share stays shared. A UserError reports a module that cannot be copied.
    """
    try:
        found = copy.deepcopy(dict(own))
        return {name: module.to(device=like.device, dtype=like.dtype) for name, module in found.items()}
    except Exception as error:  # the user's module may raise anything
        place = f"{like.device} in {like.dtype}"
        raise UserError(f"networks: a module cannot be copied to {place} ({first_line(error)})") from error


def check_outputs(module: nn.Module, name: str, inputs: Tensor, outputs: Shape) -> None:
    """Call a module with a few rows; a UserError reports a failure, or outputs of another shape or dtype."""
    width = math.prod(outputs)
    wanted = f"expected {width} numbers for each row, {_MEANINGS[name]}"
    given = f"objective.{name}: the module takes {tuple(inputs.shape)}, {inputs.dtype}"
    try:
        with torch.no_grad():
            found = module(inputs)
    except Exception as error:  # the user's module may raise anything
        raise UserError(f"{given}, and fails ({first_line(error)}); {wanted}") from error
    if not isinstance(found, Tensor):
        raise UserError(f"{given}, and gives a {type(found).__name__}; {wanted}")
    rows = found.flatten(1) if name == "decoder" and found.ndim > 1 else found  # a decoder may give images
    if rows.shape != (len(inputs), width) or found.dtype != inputs.dtype:
        raise UserError(f"{given}, and gives {tuple(found.shape)}, {found.dtype}; {wanted}")


def describe(own: Own) -> dict[str, str]:
    """An attribute for the record: parameter count and printed structure of each module; empty without modules."""
    texts = []
    for name in (name for name in PARTS if name in own):
        printed = repr(own[name])
        cut = f"{printed[:_PRINTED]} ..." if len(printed) > _PRINTED else printed
        count = sum(p.numel() for p in own[name].parameters() if p.requires_grad)
        texts.append(f"{name}: {count} parameters\n{cut}")
    return {"modules": "\n".join(texts)} if texts else {}


def digest(own: Own) -> str:
    """SHA-256 of the structure and the parameters of modules."""
    found = hashlib.sha256(str(sorted(describe(own).items())).encode())
    for name in sorted(own):
        for key, value in own[name].state_dict().items():
            found.update(f"{name}.{key}".encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()

"""Modules of anyone's own, by the part of the objective that they are for: checked, copied and described."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from difflib import get_close_matches

import torch
from torch import Tensor, nn

from rdc_dyn.objective.architectures import Shape
from rdc_dyn.scenario import schema
from rdc_dyn.status import UserError

#: Modules that were passed, by part.
Own = Mapping[str, nn.Module]
#: Sections of objectives with networks.
WithNetworks = schema.Amortised | schema.ImportanceWeighted

PARTS = ("encoder", "decoder", "classifier")
#: What a part gives for each row that it takes.
_MEANINGS = {
    "encoder": "mean and log-variance of each latent dimension",
    "decoder": "one for each component of x",
    "classifier": "a logit for each class",
}
#: Most letters of a module's printed structure that are kept.
_PRINTED = 2000


def check_own(section: schema.Objective, own: Own) -> None:
    """Refuse modules that no part asks for, and parts whose module is missing; before any data are read.

    Args:
        section: Any.
        own: Modules that were passed.

    Raises:
        UserError: If the two do not fit.
    """
    if not isinstance(own, Mapping):
        raise UserError(f'networks: is a {type(own).__name__}; expected a dict such as {{"encoder": module}}')
    for name, module in own.items():
        if name not in PARTS:
            near = get_close_matches(str(name), PARTS, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise UserError(f"networks: {name!r} is no part of an objective; expected {', '.join(PARTS)}{hint}")
        if not isinstance(section, WithNetworks):
            raise UserError(f"networks: {section.kind} takes no modules; expected amortised or importance_weighted")
        kind = getattr(section, name).kind
        if kind != "module":
            raise UserError(f"networks: a module was passed, but objective.{name}.kind is {kind}; set it to module")
        if not isinstance(module, nn.Module):
            raise UserError(f"networks: {name} is a {type(module).__name__}; expected a torch.nn.Module")
    for name in PARTS if isinstance(section, WithNetworks) else ():
        if getattr(section, name).kind == "module" and name not in own:
            raise UserError(
                f"objective.{name}: kind module is a torch.nn.Module of your own, which no file holds; pass it in "
                f'Python: rdc_dyn.run(scenario, output, networks={{"{name}": module}})'
            )


def copies(own: Own, like: Tensor) -> dict[str, nn.Module]:
    """The modules in another dtype, on another device; they themselves stay as they are.

    Args:
        own: Modules; they are copied together, so that what they share they go on to share.
        like: Tensor whose dtype and device parameters and buffers get.

    Returns:
        The copies.

    Raises:
        UserError: If a module cannot be copied.
    """
    try:
        found = copy.deepcopy(dict(own))
        return {name: module.to(device=like.device, dtype=like.dtype) for name, module in found.items()}
    except Exception as error:  # whatever a module of someone's own does when it is copied
        place = f"{like.device} in {like.dtype}"
        raise UserError(f"networks: a module cannot be copied to {place} ({_first_line(error)})") from error


def check_outputs(module: nn.Module, name: str, inputs: Tensor, outputs: Shape) -> None:
    """Call a module with some rows.

    Args:
        module: Of anyone's own.
        name: Its part.
        inputs: The rows, a few.
        outputs: Shape of what it is to give for each of them.

    Raises:
        UserError: If it fails, or gives something else.
    """
    width = math.prod(outputs)
    wanted = f"expected {width} numbers for each row, {_MEANINGS[name]}"
    given = f"objective.{name}: the module takes {tuple(inputs.shape)}, {inputs.dtype}"
    try:
        with torch.no_grad():
            found = module(inputs)
    except Exception as error:  # whatever it does
        raise UserError(f"{given}, and fails ({_first_line(error)}); {wanted}") from error
    if not isinstance(found, Tensor):
        raise UserError(f"{given}, and gives a {type(found).__name__}; {wanted}")
    rows = found.flatten(1) if name == "decoder" and found.ndim > 1 else found  # a decoder may give images
    if rows.shape != (len(inputs), width) or found.dtype != inputs.dtype:
        raise UserError(f"{given}, and gives {tuple(found.shape)}, {found.dtype}; {wanted}")


def describe(own: Own) -> dict[str, str]:
    """What the record says of modules.

    Args:
        own: Modules.

    Returns:
        An attribute with the parameters and the printed structure of each; nothing where there is none.
    """
    texts = []
    for name in (name for name in PARTS if name in own):
        printed = repr(own[name])
        cut = f"{printed[:_PRINTED]} ..." if len(printed) > _PRINTED else printed
        count = sum(p.numel() for p in own[name].parameters() if p.requires_grad)
        texts.append(f"{name}: {count} parameters\n{cut}")
    return {"modules": "\n".join(texts)} if texts else {}


def _first_line(error: Exception) -> str:
    """An exception in one line."""
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"

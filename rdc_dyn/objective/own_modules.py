"""What networks connect, and modules of the user's own, by the part of the objective that they are for."""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from rdc_dyn.data.samples import Data
from rdc_dyn.objective.architectures import Architecture, Shape
from rdc_dyn.objective.networks import Networks
from rdc_dyn.status import DataError, UserError, first_line

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
    """A part of the objective in a scenario: its kind, and whether that is a module that is passed or one to build."""

    own: ClassVar[bool]

    @property
    def kind(self) -> str:
        """Its kind."""

    def build(self, ends: Ends) -> Architecture:
        """The architecture."""


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


@dataclass(frozen=True)
class Ends:
    """What the networks connect: the shape of one datum, (C, H, W) or (n,), and the number of classes."""

    x: Shape
    classes: int

    @classmethod
    def of(cls, data: Data) -> Ends:
        """The ends for given data."""
        return cls(data.shape or (data.x_dim,), data.classes)

    @classmethod
    def recorded(cls, attributes: Mapping[str, Any]) -> Ends:
        """The ends that `record` wrote."""
        return cls(tuple(int(side) for side in attributes["x_shape"].split(" x ")), int(attributes["classes"]))

    def record(self) -> dict[str, str | int]:
        """The ends as attributes of a trajectory."""
        return {"x_shape": self.words, "classes": self.classes}

    @property
    def words(self) -> str:
        """The shape of a datum in words, such as 3 x 32 x 32."""
        return " x ".join(map(str, self.x))

    def sides(self, latent_dim: int) -> dict[str, tuple[Shape, Shape]]:
        """Input and output shapes of each part."""
        code: Shape = (latent_dim,)
        return {
            "encoder": (self.x, (2 * latent_dim,)),
            "decoder": (code, self.x),
            "classifier": (code, (self.classes,)),
        }

    def require_images(self, key: str, kind: str) -> None:
        """Raise a DataError where a network is for images and the data are none."""
        if len(self.x) != 3:
            raise DataError(
                f"{key}: {kind} is for images, but a datum is {self.words} numbers without channels, height and width; "
                "use kind mlp, or give x of an npz file the shape (N, C, H, W)"
            )


def connected(
    parts: Mapping[str, Part], latent_dim: int, ends: Ends, own: Own, like: Tensor, x: Tensor | None = None
) -> Networks:
    """Encoder, decoder and classifier; those that are built here have their parameters on the meta device.

    The user's `own` modules are copied to the dtype and device of `like` and tried out on `x`. A UserError reports one
    that cannot be copied, fails or does not fit, a DataError a network for images where the data are not images.
    """
    made: dict[str, nn.Module] = copies(own, like)
    for name, (inputs, outputs) in ends.sides(latent_dim).items():
        if name not in made:
            made[name] = parts[name].build(ends).build(inputs, outputs)
        elif x is not None:
            check_outputs(made[name], name, x if name == "encoder" else x.new_zeros((len(x), latent_dim)), outputs)
    return Networks(*(made[name] for name in PARTS))

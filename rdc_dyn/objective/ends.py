"""What networks connect: data, codes and classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn

from rdc_dyn.data.samples import Data
from rdc_dyn.objective.architectures import Architecture, Shape
from rdc_dyn.objective.networks import Networks
from rdc_dyn.objective.own_modules import PARTS, Own, check_outputs, copies
from rdc_dyn.status import DataError


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


class Buildable(Protocol):
    """What chooses an architecture."""

    def build(self, ends: Ends) -> Architecture:
        """The architecture."""


def connected(
    parts: Mapping[str, Buildable], latent_dim: int, ends: Ends, own: Own, like: Tensor, x: Tensor | None = None
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

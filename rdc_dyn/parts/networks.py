"""Build networks from the sections `encoder`, `decoder` and `classifier`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from rdc_dyn.objective.architectures import Architecture, Deconv, Mlp, Shape
from rdc_dyn.objective.data import Data
from rdc_dyn.objective.networks import Networks
from rdc_dyn.parts.own_modules import PARTS, Own, WithNetworks, check_outputs, copies
from rdc_dyn.scenario import schema
from rdc_dyn.status import DataError

#: Most groups of channels of a norm by default; fewer where this does not divide the width.
_GROUPS = 8


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


def build_networks(section: WithNetworks, ends: Ends, own: Own, like: Tensor, x: Tensor | None = None) -> Networks:
    """Encoder, decoder and classifier; those that are built here have their parameters on the meta device.

    The user's `own` modules are copied to the dtype and device of `like` and tried out on `x`. A UserError reports one
    that cannot be copied, fails or does not fit, a DataError a network for images where the data are not images.
    """
    latent_dim = section.encoder.latent_dim
    made: dict[str, nn.Module] = copies(own, like)
    for name, (inputs, outputs) in ends.sides(latent_dim).items():
        if name not in made:
            made[name] = _architecture(getattr(section, name), name, ends).build(inputs, outputs)
        elif x is not None:
            check_outputs(made[name], name, x if name == "encoder" else x.new_zeros((len(x), latent_dim)), outputs)
    return Networks(*(made[name] for name in PARTS))


def _architecture(part: Any, name: str, ends: Ends) -> Architecture:
    """The architecture that a section chooses; a DataError reports one for images where the data are not images."""
    if isinstance(part, schema.ResNet18Encoder | schema.DeconvDecoder) and len(ends.x) != 3:
        raise DataError(
            f"objective.{name}: {part.kind} is for images, but a datum is {ends.words} numbers without channels, "
            "height and width; use kind mlp, or give x of an npz file the shape (N, C, H, W)"
        )
    if isinstance(part, schema.ResNet18Encoder):
        from rdc_dyn.objective.architectures.resnet18 import ResNet18  # imports torchvision's models

        groups = part.groups or max(g for g in range(1, _GROUPS + 1) if part.width % g == 0)
        return ResNet18(part.width, groups, part.activation, part.stem)
    if isinstance(part, schema.DeconvDecoder):
        return Deconv(part.width, part.activation)
    if isinstance(part, schema.LinearClassifier):
        return Mlp(())
    assert isinstance(part, schema.MlpEncoder | schema.MlpDecoder | schema.MlpClassifier)  # modules were passed
    return Mlp(part.hidden, part.activation)

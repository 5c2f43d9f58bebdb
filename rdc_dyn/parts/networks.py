"""The sections `encoder`, `decoder` and `classifier` become networks."""

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

#: Groups of channels of a norm where nothing else is said and the width allows it.
_GROUPS = 8


@dataclass(frozen=True)
class Ends:
    """What the networks connect.

    Attributes:
        x: Shape of one datum, (C, H, W) or (n,).
        classes: Y.
    """

    x: Shape
    classes: int

    @classmethod
    def of(cls, data: Data) -> Ends:
        """Those of some data."""
        return cls(data.shape or (data.x_dim,), data.classes)

    @classmethod
    def recorded(cls, attributes: Mapping[str, Any]) -> Ends:
        """Those that `record` wrote."""
        return cls(tuple(int(side) for side in attributes["x_shape"].split(" x ")), int(attributes["classes"]))

    def record(self) -> dict[str, str | int]:
        """As attributes of a trajectory."""
        return {"x_shape": self.words, "classes": self.classes}

    @property
    def words(self) -> str:
        """The shape of a datum, such as 3 x 32 x 32."""
        return " x ".join(map(str, self.x))

    def sides(self, latent_dim: int) -> dict[str, tuple[Shape, Shape]]:
        """Shapes of what each part takes and gives."""
        code: Shape = (latent_dim,)
        return {
            "encoder": (self.x, (2 * latent_dim,)),
            "decoder": (code, self.x),
            "classifier": (code, (self.classes,)),
        }


def build_networks(section: WithNetworks, ends: Ends, own: Own, like: Tensor, x: Tensor | None = None) -> Networks:
    """Encoder, decoder and classifier.

    Args:
        section: What is asked for.
        ends: What they connect.
        own: Modules that were passed, which are copied.
        like: Tensor whose dtype and device the copies get.
        x: Some data, to try the copies with.

    Returns:
        The networks; those that the program makes have their parameters on the meta device.

    Raises:
        UserError: If a module cannot be copied, fails, or does not fit.
        DataError: If a network is for images, and the data are none.
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
    """What a section chooses."""
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

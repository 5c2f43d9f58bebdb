"""ResNet-18 as encoder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field

from rdc_dyn.scenario.families import EncoderSection
from rdc_dyn.scenario.mistakes import Finding, Path
from rdc_dyn.scenario.section import Count
from rdc_dyn.scenario.tree import Tree, section

if TYPE_CHECKING:
    from rdc_dyn.objective.architectures import Architecture
    from rdc_dyn.objective.ends import Ends
    from rdc_dyn.scenario.scenario import Scenario

#: Groups of channels of a norm where nothing else is said and the width allows it.
_GROUPS = 8


class ResNet18EncoderSection(EncoderSection):
    """ResNet-18 of torchvision with GroupNorm, for images."""

    kind: Literal["resnet18"]
    width: Count = Field(default=64, description="channels at the first of four resolutions, doubled at each other one")
    groups: Count | None = Field(
        default=None, description="groups of channels of each norm, a divisor of width; null: the largest one up to 8"
    )
    activation: Literal["silu", "gelu", "softplus", "tanh", "relu"] = Field(
        default="silu", description="relu is the paper's, but has no second derivative: A is then that of a piece of J"
    )
    stem: Literal["3x3", "7x7"] = Field(
        default="3x3",
        description="first convolution: 3x3, stride 1, no pooling, for small images; 7x7: torchvision's, of stride 2 "
        "with max pooling, which leaves a sixteenth of the pixels",
    )

    def build(self, ends: Ends) -> Architecture:
        """The network; a `DataError` where the data are no images."""
        from rdc_dyn.objective.architectures.resnet18 import ResNet18  # imports torchvision's models

        ends.require_images("objective.encoder", self.kind)
        assert self.groups is not None  # resolved
        return ResNet18(self.width, self.groups, self.activation, self.stem)

    @classmethod
    def check(cls, tree: Tree, path: Path) -> Iterator[Finding]:
        """Groups divide the channels."""
        own = section(tree, *path)
        width, groups = own.get("width", cls.model_fields["width"].default), own.get("groups")
        if type(width) is int and type(groups) is int and width > 0 and groups > 0 and width % groups:
            near = min((g for g in range(1, width + 1) if width % g == 0), key=lambda g: abs(g - groups))
            message = f"must divide objective.encoder.width, which is {width}, got {groups}; the nearest is {near}"
            yield Finding((*path, "groups"), message)

    def resolve(self, scenario: Scenario) -> Self:
        """The largest number of groups that divides the width."""
        return self.default(groups=max(g for g in range(1, _GROUPS + 1) if self.width % g == 0))

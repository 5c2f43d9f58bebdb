"""Checks of the network sections that no single field can make."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rdc_dyn.scenario.problems import Finding
from rdc_dyn.scenario.schema import ResNet18Encoder
from rdc_dyn.scenario.tree import Tree, section


def _groups_of_channels(tree: Tree) -> Iterator[Finding]:
    encoder = section(tree, "objective", "encoder")
    width, groups = encoder.get("width", ResNet18Encoder.model_fields["width"].default), encoder.get("groups")
    if encoder.get("kind") != "resnet18" or type(width) is not int or type(groups) is not int:
        return
    if width > 0 and groups > 0 and width % groups:
        near = min((g for g in range(1, width + 1) if width % g == 0), key=lambda g: abs(g - groups))
        message = f"must divide objective.encoder.width, which is {width}, got {groups}; the nearest is {near}"
        yield Finding(("objective", "encoder", "groups"), message)


NETWORK_CHECKS: tuple[Callable[[Tree], Iterator[Finding]], ...] = (_groups_of_channels,)

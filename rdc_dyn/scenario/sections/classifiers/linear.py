"""A linear classifier."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from rdc_dyn.scenario.families import ClassifierSection

if TYPE_CHECKING:
    from rdc_dyn.objective.architectures import Architecture
    from rdc_dyn.objective.ends import Ends


class LinearClassifierSection(ClassifierSection):
    """c(y|z) is the softmax of a linear map of z."""

    kind: Literal["linear"] = "linear"

    def build(self, ends: Ends) -> Architecture:
        """The network."""
        from rdc_dyn.objective.architectures import Mlp

        return Mlp(())

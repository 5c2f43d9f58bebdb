"""A multilayer perceptron as classifier."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from rdc_dyn.scenario.families import ClassifierSection
from rdc_dyn.scenario.section import Activation, Widths

if TYPE_CHECKING:
    from rdc_dyn.objective.architectures import Architecture
    from rdc_dyn.objective.ends import Ends


class MlpClassifierSection(ClassifierSection):
    """c(y|z) is the softmax of a multilayer perceptron."""

    kind: Literal["mlp"]
    hidden: Widths
    activation: Activation = "tanh"

    def build(self, ends: Ends) -> Architecture:
        """The network."""
        from rdc_dyn.objective.architectures import Mlp

        return Mlp(self.hidden, self.activation)

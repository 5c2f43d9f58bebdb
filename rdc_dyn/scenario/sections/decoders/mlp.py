"""A multilayer perceptron as decoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from rdc_dyn.scenario.families import DecoderSection
from rdc_dyn.scenario.section import Activation, Widths

if TYPE_CHECKING:
    from rdc_dyn.objective.architectures import Architecture
    from rdc_dyn.objective.ends import Ends


class MlpDecoderSection(DecoderSection):
    """Multilayer perceptron giving d(x|z)."""

    kind: Literal["mlp"]
    hidden: Widths
    activation: Activation = "tanh"

    def build(self, ends: Ends) -> Architecture:
        """The network."""
        from rdc_dyn.objective.architectures import Mlp

        return Mlp(self.hidden, self.activation)

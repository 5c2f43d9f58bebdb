"""A multilayer perceptron as encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from rdc_dyn.scenario.families import EncoderSection
from rdc_dyn.scenario.section import Activation, Widths

if TYPE_CHECKING:
    from rdc_dyn.objective.architectures import Architecture
    from rdc_dyn.objective.ends import Ends


class MlpEncoderSection(EncoderSection):
    """Multilayer perceptron giving the mean and log-variance of e(z|x)."""

    kind: Literal["mlp"]
    hidden: Widths
    activation: Activation = "tanh"

    def build(self, ends: Ends) -> Architecture:
        """The network."""
        from rdc_dyn.objective.architectures import Mlp

        return Mlp(self.hidden, self.activation)

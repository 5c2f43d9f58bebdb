"""Multilayer perceptrons; a linear classifier is one without hidden layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from rdc_dyn.scenario.families import ClassifierSection, DecoderSection, EncoderSection
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


class MlpDecoderSection(DecoderSection):
    """Multilayer perceptron giving d(x|z)."""

    kind: Literal["mlp"]
    hidden: Widths
    activation: Activation = "tanh"

    def build(self, ends: Ends) -> Architecture:
        """The network."""
        from rdc_dyn.objective.architectures import Mlp

        return Mlp(self.hidden, self.activation)


class LinearClassifierSection(ClassifierSection):
    """c(y|z) is the softmax of a linear map of z."""

    kind: Literal["linear"] = "linear"

    def build(self, ends: Ends) -> Architecture:
        """The network."""
        from rdc_dyn.objective.architectures import Mlp

        return Mlp(())


class MlpClassifierSection(ClassifierSection):
    """c(y|z) is the softmax of a multilayer perceptron."""

    kind: Literal["mlp"]
    hidden: Widths
    activation: Activation = "tanh"

    def build(self, ends: Ends) -> Architecture:
        """The network."""
        from rdc_dyn.objective.architectures import Mlp

        return Mlp(self.hidden, self.activation)

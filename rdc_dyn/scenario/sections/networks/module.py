"""Modules of anyone's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, NoReturn

from rdc_dyn.scenario.families import ClassifierSection, DecoderSection, EncoderSection

if TYPE_CHECKING:
    from rdc_dyn.objective.ends import Ends


class ModuleEncoderSection(EncoderSection):
    """Your own torch.nn.Module, by rdc_dyn.run(networks=...): data (N, n) to (N, 2 latent_dim), mean and log-variance.

    Its parameters are part of theta and begin with the values that they have.
    """

    kind: Literal["module"]
    own: ClassVar[bool] = True

    def build(self, ends: Ends) -> NoReturn:
        """Never: the module is passed."""
        raise AssertionError("a module of one's own is passed, not built")


class ModuleDecoderSection(DecoderSection):
    """Your own torch.nn.Module, by rdc_dyn.run(networks=...): codes (M, latent_dim) to means or logits of x, (M, n)."""

    kind: Literal["module"]
    own: ClassVar[bool] = True

    def build(self, ends: Ends) -> NoReturn:
        """Never: the module is passed."""
        raise AssertionError("a module of one's own is passed, not built")


class ModuleClassifierSection(ClassifierSection):
    """Your own torch.nn.Module, by rdc_dyn.run(networks=...): codes (M, latent_dim) to logits of y, (M, classes)."""

    kind: Literal["module"]
    own: ClassVar[bool] = True

    def build(self, ends: Ends) -> NoReturn:
        """Never: the module is passed."""
        raise AssertionError("a module of one's own is passed, not built")

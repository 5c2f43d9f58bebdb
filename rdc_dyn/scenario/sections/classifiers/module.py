"""A module of anyone's own as classifier."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, NoReturn

from rdc_dyn.scenario.families import ClassifierSection

if TYPE_CHECKING:
    from rdc_dyn.objective.ends import Ends


class ModuleClassifierSection(ClassifierSection):
    """Your own torch.nn.Module, by rdc_dyn.run(networks=...): codes (M, latent_dim) to logits of y, (M, classes)."""

    kind: Literal["module"]
    own: ClassVar[bool] = True

    def build(self, ends: Ends) -> NoReturn:
        """Never: the module is passed."""
        raise AssertionError("a module of one's own is passed, not built")

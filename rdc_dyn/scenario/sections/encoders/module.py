"""A module of anyone's own as encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, NoReturn

from rdc_dyn.scenario.families import EncoderSection

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

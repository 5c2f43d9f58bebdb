"""The stochastic bordered corrector."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from rdc_dyn.scenario.section import Positive
from rdc_dyn.scenario.sections.correctors._stochastic import StochasticSection

if TYPE_CHECKING:
    from rdc_dyn.dynamics import Corrector
    from rdc_dyn.scenario.context import Context


class PrimalDualSection(StochasticSection):
    """Minibatch updates while feedback on the free multipliers holds what the process holds; for large networks."""

    method: Literal["primal_dual"]
    tolerance: Positive = Field(default=5e-3, description="on what is held, relative")
    dissipation: Positive = Field(
        default=1e-2, description="share of a step's work that theta may still lose in the last epoch"
    )

    boundary_layer: ClassVar[bool] = True

    def build(self, context: Context) -> Corrector:
        """Feedback by the surface's own response."""
        from rdc_dyn.dynamics import Feedback

        return self.with_rule(Feedback(), context, tolerance=self.tolerance, dissipation=self.dissipation)

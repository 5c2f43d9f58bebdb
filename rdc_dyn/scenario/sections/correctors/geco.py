"""GECO's rule, for comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from rdc_dyn.scenario.section import Positive, UnitInterval
from rdc_dyn.scenario.sections.correctors._stochastic import SingleRuleSection

if TYPE_CHECKING:
    from rdc_dyn.dynamics import Corrector
    from rdc_dyn.scenario.context import Context


class GecoSection(SingleRuleSection):
    """The rule of GECO for comparison: gamma grows by the exponential of a moving average of the deviation."""

    method: Literal["geco"]
    smoothing: UnitInterval = Field(default=0.99, description="of the moving average")
    rate: Positive = Field(default=1.0, description="of log gamma, per update and per relative deviation")

    def build(self, context: Context) -> Corrector:
        """The minibatch corrector with GECO's rule."""
        from rdc_dyn.dynamics import Geco

        return self.with_rule(Geco(self.smoothing, self.rate), context)

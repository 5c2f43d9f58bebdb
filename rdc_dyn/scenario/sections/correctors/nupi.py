"""nuPI, for comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from rdc_dyn.scenario.section import NonNegative, UnitInterval
from rdc_dyn.scenario.sections.correctors._stochastic import SingleRuleSection

if TYPE_CHECKING:
    from rdc_dyn.dynamics import Corrector
    from rdc_dyn.scenario.context import Context


class NuPiSection(SingleRuleSection):
    """nuPI for comparison: proportional and integral feedback with gains that the user tunes."""

    method: Literal["nupi"]
    proportional: NonNegative = Field(default=1.0, description="gain, in units of gamma / what is held")
    integral: NonNegative = Field(default=0.01, description="gain per update, in the same units")
    smoothing: UnitInterval = Field(default=0.9, description="nu, of the average that the proportional part answers to")

    def build(self, context: Context) -> Corrector:
        """The minibatch corrector with nuPI's rule."""
        from rdc_dyn.dynamics import NuPi

        return self.with_rule(NuPi(self.proportional, self.integral, self.smoothing), context)

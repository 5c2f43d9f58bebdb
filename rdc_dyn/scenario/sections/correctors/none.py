"""No corrector."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from rdc_dyn.scenario.families import PullingSection

if TYPE_CHECKING:
    from rdc_dyn.dynamics import Corrector
    from rdc_dyn.scenario.context import Context


class NoCorrectorSection(PullingSection):
    """The trajectory is what the integrator gives."""

    method: Literal["none"]

    def build(self, context: Context) -> Corrector:
        """Leaves every state where it is."""
        from rdc_dyn.dynamics import NoCorrector

        return NoCorrector()

"""J with an amortised encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from rdc_dyn.scenario.sections.objectives._variational import VariationalSection

if TYPE_CHECKING:
    from rdc_dyn.objective import Objective
    from rdc_dyn.scenario.context import Context


class AmortisedSection(VariationalSection):
    """J = R + lam D + gamma C with a network encoder that is part of theta."""

    kind: Literal["amortised"]

    def build(self, context: Context) -> Objective:
        """J over the data."""
        from rdc_dyn.objective import Amortised

        return Amortised(**self.common(context))

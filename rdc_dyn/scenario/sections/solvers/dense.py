"""A factor of A at every state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from rdc_dyn.scenario.families import SolverSection

if TYPE_CHECKING:
    from rdc_dyn.linalg import LinearSolver
    from rdc_dyn.scenario.context import Context


class DenseSection(SolverSection):
    """A formed by products and factorised at every state; for small theta."""

    method: Literal["dense"]

    def build(self, context: Context) -> LinearSolver:
        """The solver."""
        from rdc_dyn.linalg import Dense

        context.require_factorisable()
        return Dense(self.damping)

"""Minimal residuals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from rdc_dyn.scenario.sections.solvers._krylov import KrylovSection

if TYPE_CHECKING:
    from rdc_dyn.linalg import LinearSolver
    from rdc_dyn.scenario.context import Context


class MinresSection(KrylovSection):
    """Preconditioned minimal residuals on Hessian-vector products; A may be indefinite."""

    method: Literal["minres"]

    def build(self, context: Context) -> LinearSolver:
        """The solver."""
        from rdc_dyn.linalg import Minres

        return self.with_method(Minres, context)

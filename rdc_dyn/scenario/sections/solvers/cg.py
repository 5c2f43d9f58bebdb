"""Conjugate gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from rdc_dyn.scenario.sections.solvers._krylov import KrylovSection

if TYPE_CHECKING:
    from rdc_dyn.linalg import LinearSolver
    from rdc_dyn.scenario.context import Context


class CgSection(KrylovSection):
    """Preconditioned block conjugate gradients on Hessian-vector products."""

    method: Literal["cg"]

    def build(self, context: Context) -> LinearSolver:
        """The solver."""
        from rdc_dyn.linalg import ConjugateGradient

        return self.with_method(ConjugateGradient, context)

"""Preconditioned conjugate gradients for A u = b, with the true residual and negative curvature reported."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from rdc_dyn.linalg.base import LinearSolution, Rows, SymmetricOperator, Vector, project_out
from rdc_dyn.linalg.preconditioner import Identity, Preconditioner
from rdc_dyn.status import Status


@dataclass(frozen=True)
class ConjugateGradient:
    """Solves (A + damping I) u = b to |b − A u| ≤ rtol |b|.

    Differs from the textbook: the true residual is computed at the end and the iteration restarted from there if the
    recurrence had drifted from it; a direction p with p·A p ≤ 0 ends the solve with INDEFINITE and no vector is
    returned, since the last iterate would point nowhere.

    Attributes:
        rtol: Relative residual.
        max_iterations: For each right-hand side.
        damping: Multiple of the identity added to A.
        preconditioner: M; it is kept from solve to solve.
    """

    rtol: float = 1e-8
    max_iterations: int = 2000
    damping: float = 0.0
    preconditioner: Preconditioner = field(default_factory=Identity)

    def solve(self, operator: SymmetricOperator, rhs: Rows, *, rtol: float | None = None) -> LinearSolution:
        """Solve for each row of `rhs`; a slow or stalled solve is tried once more with a rebuilt preconditioner.

        Args:
            operator: A.
            rhs: Right-hand sides, shape (k, P).
            rtol: Relative residual, the solver's own if None.

        Returns:
            The solutions, with the status of the first that failed.
        """
        rtol = self.rtol if rtol is None else rtol
        self.preconditioner.prepare(operator)
        rows, iterations, worst = [], 0, 0.0
        for b in rhs:
            u, steps, residual, failure = self._solve_one(operator, b, rtol)
            iterations += steps
            if failure is Status.KRYLOV_MAX_ITERATIONS and self.preconditioner.refresh(operator):
                u, steps, residual, failure = self._solve_one(operator, b, rtol)
                iterations += steps
            if failure is not None:
                return LinearSolution(torch.full_like(rhs, torch.nan), failure, iterations, residual)
            self.preconditioner.report(steps)
            rows.append(u)
            worst = max(worst, residual)
        return LinearSolution(torch.stack(rows), None, iterations, worst)

    def _product(self, operator: SymmetricOperator, v: Vector) -> Vector:
        return project_out(operator.kernel, operator.mv(v)) + self.damping * v

    def _solve_one(
        self, operator: SymmetricOperator, b: Vector, rtol: float
    ) -> tuple[Vector, int, float, Status | None]:
        b = project_out(operator.kernel, b)
        norm = float(b.norm())
        u, r = torch.zeros_like(b), b
        if norm == 0.0:
            return u, 0, 0.0, None
        iterations = 0
        for _restart in range(4):
            u, steps, failure = self._iterate(operator, u, r, rtol * norm, self.max_iterations - iterations)
            iterations += steps
            if failure is not None:
                return u, iterations, float("nan"), failure
            r = b - self._product(operator, u)
            residual = float(r.norm()) / norm
            if residual <= rtol:
                return u, iterations, residual, None
            if iterations >= self.max_iterations:
                break
        return u, iterations, residual, Status.KRYLOV_MAX_ITERATIONS

    def _iterate(
        self, operator: SymmetricOperator, u: Vector, r: Vector, target: float, budget: int
    ) -> tuple[Vector, int, Status | None]:
        z = self.preconditioner.apply(r)
        p, rz = z, torch.dot(r, z)
        for step in range(budget):
            if float(r.norm()) <= target:
                return u, step, None
            ap = self._product(operator, p)
            curvature = torch.dot(p, ap)
            if not torch.isfinite(curvature):
                return u, step + 1, Status.NON_FINITE
            if curvature <= 0:
                return u, step + 1, Status.INDEFINITE
            alpha = rz / curvature
            u = u + alpha * p
            r = r - alpha * ap
            z = self.preconditioner.apply(r)
            rz, previous = torch.dot(r, z), rz
            p = z + (rz / previous) * p
        return u, budget, None

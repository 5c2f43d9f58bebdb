"""u = A⁻¹ b by forming A at every state: exact, for small θ and as a reference for the Krylov solvers."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from rdc_dyn.linalg.base import LinearSolution, Rows, SymmetricOperator, project_out
from rdc_dyn.linalg.factorisation import materialise, solve_dense
from rdc_dyn.status import Status


@dataclass(frozen=True)
class Dense:
    """Solves (A + damping I) u = b by a dense factorisation; where A has zero modes, u has the minimum norm."""

    damping: float = 0.0

    def solve(
        self, operator: SymmetricOperator, rhs: Rows, *, rtol: float | None = None, start: Rows | None = None
    ) -> LinearSolution:
        """Solve exactly for each row of `rhs`; `rtol` and `start` are ignored."""
        rhs = project_out(operator.kernel, rhs)
        matrix = materialise(operator, self.damping)
        value, failure = solve_dense(matrix, rhs)
        if failure is not None:
            return LinearSolution(value, failure, 0, float("nan"), value, rhs @ rhs.T)
        value = project_out(operator.kernel, value)
        left = rhs - value @ matrix
        residual = left.norm(dim=1) / rhs.norm(dim=1).clamp_min(torch.finfo(rhs.dtype).tiny)
        failure = None if bool(torch.isfinite(residual).all()) else Status.NON_FINITE
        return LinearSolution(value, failure, 0, float(residual.max()), left, rhs.new_zeros(2 * rhs.shape[:1]))

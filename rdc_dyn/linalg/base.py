"""A u = b for a symmetric A that is only known by its products v -> A v."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from jaxtyping import Float
from torch import Tensor

from rdc_dyn.status import Status

Vector = Float[Tensor, "P"]
Rows = Float[Tensor, "k P"]


class SymmetricOperator(Protocol):
    """A symmetric matrix A of size P x P, with the zero modes that its symmetries force on it.

    Attributes:
        kernel: Orthonormal rows n with n·b = 0 for every right-hand side b that the objective can produce. Solutions
            are sought orthogonal to them. On an equilibrium A n = 0; off it A n is of the size of the gradient, and the
            solution of the restricted system is still smooth, which that of A u = b is not.
    """

    @property
    def size(self) -> int:
        """P."""
        ...

    @property
    def kernel(self) -> Rows:
        """The zero modes n."""
        ...

    def mv(self, v: Vector) -> Vector:
        """A v."""
        ...

    def mm(self, rows: Rows) -> Rows:
        """A v for each row v, in one batched product."""
        ...


@dataclass(frozen=True)
class LinearSolution:
    """Result of `LinearSolver.solve`.

    Attributes:
        value: One row u for each right-hand side, shape (k, P). Meaningless when `failure` is set.
        failure: None, or why there is no solution.
        iterations: Krylov iterations, summed over right-hand sides.
        residual: Largest true relative residual |b − A u| / |b|.
    """

    value: Rows
    failure: Status | None
    iterations: int
    residual: float


class LinearSolver(Protocol):
    """Solves A u = b for several right-hand sides."""

    def solve(self, operator: SymmetricOperator, rhs: Rows, *, rtol: float | None = None) -> LinearSolution:
        """Solve A u = b for each row b of `rhs`; `rtol` overrides the solver's own for iterative ones."""
        ...


def project_out(kernel: Rows, rows: Tensor) -> Tensor:
    """v − Nᵀ N v: the part of each row (or of one vector) orthogonal to the kernel's rows N."""
    if kernel.shape[0] == 0:
        return rows
    return rows - (rows @ kernel.T) @ kernel

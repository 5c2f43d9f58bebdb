"""A u = b for a symmetric A that is only known by its products v -> A v."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from rdc_dyn.status import NumericalFailure, Status

_CHUNK = 64

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
        iterations: Krylov iterations, summed over right-hand sides: the products A v that the iteration took, and one
            for each first guess. Checks of the true residual cost one more for each right-hand side and pass.
        residual: Largest relative residual |b − A u| / |b|: the true one, or for a loose tolerance that of the
            recurrence, where the two cannot differ by as much as matters.
    """

    value: Rows
    failure: Status | None
    iterations: int
    residual: float


class LinearSolver(Protocol):
    """Solves A u = b for several right-hand sides."""

    def solve(
        self, operator: SymmetricOperator, rhs: Rows, *, rtol: float | None = None, start: Rows | None = None
    ) -> LinearSolution:
        """Solve A u = b for each row b of `rhs`.

        Args:
            operator: A.
            rhs: Right-hand sides, shape (k, P).
            rtol: Relative residual of iterative solvers, their own if None.
            start: First guesses u₀, shape (k, P); None for zero. The residual stays relative to |b|.

        Returns:
            The solutions.
        """
        ...


def all_finite(*tensors: Tensor) -> bool:
    """Whether no number of these is NaN or infinite."""
    return all(bool(torch.isfinite(tensor).all()) for tensor in tensors)


@contextmanager
def decomposing() -> Iterator[None]:
    """Name the failure of a decomposition: of numbers whose squares overflow, say, or that are not finite.

    Yields:
        Nothing.

    Raises:
        NumericalFailure: NON_FINITE in place of torch's own exception.
    """
    try:
        yield
    except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
        reason = (str(error).splitlines() or ["no reason given"])[0][:200]
        raise NumericalFailure(Status.NON_FINITE, f"a matrix could not be decomposed: {reason}") from None


def project_out(kernel: Rows, rows: Tensor) -> Tensor:
    """v − Nᵀ N v: the part of each row (or of one vector) orthogonal to the kernel's rows N."""
    if kernel.shape[0] == 0:
        return rows
    return rows - (rows @ kernel.T) @ kernel


def products(operator: SymmetricOperator, rows: Rows, damping: float = 0.0) -> Rows:
    """(I − Nᵀ N) A v + damping v for each row v, in one product; a single row goes without the cost of a batch."""
    image = operator.mv(rows[0])[None] if rows.shape[0] == 1 else operator.mm(rows)
    return project_out(operator.kernel, image) + damping * rows


def chunked(operator: SymmetricOperator, rows: Rows) -> Rows:
    """A v for each of many rows v, by batches that a backward pass can hold.

    Args:
        operator: A.
        rows: Shape (k, P).

    Returns:
        The products, shape (k, P).

    Raises:
        NumericalFailure: NON_FINITE if a product is not finite.
    """
    image = torch.cat([operator.mm(batch) for batch in rows.split(_CHUNK)])
    if not all_finite(image):
        raise NumericalFailure(Status.NON_FINITE, "second derivatives")
    return image

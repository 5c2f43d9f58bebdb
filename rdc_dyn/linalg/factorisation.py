"""A formed as a matrix, A u = b solved by a factor, L Lᵀ or V diag(w) Vᵀ where A is singular, and the signs of A."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from rdc_dyn.linalg.base import (
    Formed,
    LinearSolution,
    Rows,
    SymmetricOperator,
    all_finite,
    chunked,
    project_out,
    require_memory,
)
from rdc_dyn.status import NumericalFailure, Status


def negative_eigenvalues(matrix: Float[Tensor, "P P"]) -> int:
    """Number of eigenvalues of a symmetric matrix that are negative beyond rounding: the Morse index."""
    zero = torch.finfo(matrix.dtype).eps * len(matrix) * float(matrix.abs().sum(1).max())
    factors, pivots, _ = torch.linalg.ldl_factor_ex(matrix + zero * torch.eye(len(matrix)).to(matrix))
    single = pivots > 0
    # A block of two rows is chosen where its determinant is negative (Bunch & Kaufman 1977).
    return int((factors.diagonal()[single] < 0).sum()) + int((~single).sum()) // 2


# A of this size takes 0.8 GB in float64, and its factor as much again.
MAX_SIZE = 10_000


def materialise(
    operator: SymmetricOperator, damping: float = 0.0, *, closed: bool = True, dtype: torch.dtype | None = None
) -> Tensor:
    """A + damping I + s Nᵀ N as a dense symmetric matrix of shape (P, P).

    A is formed in closed form where the operator has one and `closed` allows it, else by P batched products; `dtype` is
    that of the result, by default that of θ.

    The zero modes, the rows N of the kernel, are shifted by s, the mean magnitude of the diagonal of A, so that the
    matrix can be inverted; on right-hand sides orthogonal to N its inverse is that of the restricted A. Raises
    NON_FINITE if an entry is not finite, and ValueError if P is larger than `MAX_SIZE`.
    """
    size = operator.size
    if size > MAX_SIZE:
        raise ValueError(f"a dense factorisation of {size} parameters is too large (limit {MAX_SIZE})")
    kernel = operator.kernel
    require_memory(3.0 * kernel.element_size() * size**2, f"a matrix of {size} parameters and its factor")
    matrix = operator.dense(dtype) if closed and isinstance(operator, Formed) else None
    if matrix is None:
        matrix = chunked(operator, torch.eye(size, dtype=kernel.dtype, device=kernel.device))
        matrix = (0.5 * (matrix + matrix.T)).to(dtype or matrix.dtype)
    elif not all_finite(matrix):
        raise NumericalFailure(Status.NON_FINITE, "second derivatives")
    kernel = kernel.to(matrix.dtype)
    if kernel.shape[0]:
        # P⊥ A P⊥ + s Nᵀ N: off the equilibrium A n is not zero, and the restricted system must not see it.
        matrix = matrix - (matrix @ kernel.T) @ kernel
        matrix = matrix - kernel.T @ (kernel @ matrix)
        matrix = matrix + matrix.diagonal().abs().mean() * (kernel.T @ kernel)
    if damping:
        matrix.diagonal().add_(damping)
    return matrix


def solve_dense(matrix: Float[Tensor, "P P"], rhs: Rows) -> tuple[Rows, Status | None]:
    """A⁺ b for each row b: exact, and of minimum norm where A has zero modes.

    The status is None, INDEFINITE if A has a negative eigenvalue, or SINGULAR if some b is not in the range of A.
    """
    eps, scale = torch.finfo(matrix.dtype).eps, float(matrix.diagonal().abs().max())
    factor, info = torch.linalg.cholesky_ex(matrix)
    if int(info) == 0 and float(factor.diagonal().min()) ** 2 > eps * len(matrix) * scale:
        return torch.cholesky_solve(rhs.T, factor).T, None
    if negative_eigenvalues(matrix):
        return torch.full_like(rhs, torch.nan), Status.INDEFINITE
    eigenvalues, eigenvectors = torch.linalg.eigh(matrix)
    live = eigenvalues > eps * len(matrix) * float(eigenvalues.abs().max())
    coordinates = rhs @ eigenvectors
    outside = coordinates[:, ~live].norm(dim=1)
    # Rounding puts about sqrt(eps) of b on a zero mode; more means that b is not in the range of A.
    if bool((outside > 1e-6 * rhs.norm(dim=1)).any()):
        return torch.full_like(rhs, torch.nan), Status.SINGULAR
    return (coordinates[:, live] / eigenvalues[live]) @ eigenvectors[:, live].T, None


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

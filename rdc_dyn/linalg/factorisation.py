"""A formed as a matrix, and A u = b solved by a factor: L Lᵀ, or V diag(w) Vᵀ where A is singular."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from rdc_dyn.linalg.base import Formed, Rows, SymmetricOperator, all_finite, chunked, require_memory
from rdc_dyn.linalg.inertia import negative_eigenvalues
from rdc_dyn.status import NumericalFailure, Status

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

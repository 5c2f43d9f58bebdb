"""A = L Lᵀ, or A = V diag(w) Vᵀ where A is not positive definite: one dense factorisation of a small A."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rdc_dyn.linalg.base import Formed, Rows, SymmetricOperator, all_finite, chunked, require_memory
from rdc_dyn.status import NumericalFailure, Status

# A of this size takes 0.8 GB in float64, and its factor as much again.
MAX_SIZE = 10_000


def materialise(operator: SymmetricOperator, damping: float = 0.0, *, closed: bool = True) -> Tensor:
    """A + damping I + s Nᵀ N as a dense symmetric matrix of shape (P, P).

    A is formed in closed form where the operator has one and `closed` allows it, else by P batched products.

    The zero modes, the rows N of the kernel, are shifted by s, the mean magnitude of the diagonal of A, so that the
    matrix can be inverted; on right-hand sides orthogonal to N its inverse is that of the restricted A. Raises
    NON_FINITE if an entry is not finite, and ValueError if P is larger than `MAX_SIZE`.
    """
    size = operator.size
    if size > MAX_SIZE:
        raise ValueError(f"a dense factorisation of {size} parameters is too large (limit {MAX_SIZE})")
    kernel = operator.kernel
    require_memory(3.0 * kernel.element_size() * size**2, f"a matrix of {size} parameters and its factor")
    matrix = operator.dense() if closed and isinstance(operator, Formed) else None
    if matrix is None:
        matrix = chunked(operator, torch.eye(size, dtype=kernel.dtype, device=kernel.device))
        matrix = 0.5 * (matrix + matrix.T)
    elif not all_finite(matrix):
        raise NumericalFailure(Status.NON_FINITE, "second derivatives")
    if kernel.shape[0]:
        # P⊥ A P⊥ + s Nᵀ N: off the equilibrium A n is not zero, and the restricted system must not see it.
        matrix = matrix - (matrix @ kernel.T) @ kernel
        matrix = matrix - kernel.T @ (kernel @ matrix)
        matrix = matrix + matrix.diagonal().abs().mean() * (kernel.T @ kernel)
    if damping:
        matrix.diagonal().add_(damping)
    return matrix


@dataclass(frozen=True)
class Factorisation:
    """Factors of a symmetric matrix: L where it is safely positive definite (Cholesky), otherwise w and V.

    Attributes:
        zero: Eigenvalues up to this magnitude count as zero.
    """

    cholesky: Tensor | None
    eigenvalues: Tensor | None
    eigenvectors: Tensor | None
    zero: float

    @classmethod
    def of(cls, matrix: Tensor) -> Factorisation:
        """Factorise a symmetric matrix of shape (P, P)."""
        scale = float(matrix.diagonal().abs().max())
        zero = torch.finfo(matrix.dtype).eps * matrix.shape[0] * max(scale, torch.finfo(matrix.dtype).tiny)
        factor, info = torch.linalg.cholesky_ex(matrix)
        if int(info) == 0 and float(factor.diagonal().min()) ** 2 > zero:
            return cls(factor, None, None, zero)
        eigenvalues, eigenvectors = torch.linalg.eigh(matrix)
        zero = torch.finfo(matrix.dtype).eps * matrix.shape[0] * float(eigenvalues.abs().max())
        return cls(None, eigenvalues, eigenvectors, zero)

    @property
    def negative(self) -> int:
        """Number of negative eigenvalues (the Morse index)."""
        return 0 if self.eigenvalues is None else int((self.eigenvalues < -self.zero).sum())

    def solve(self, rhs: Rows) -> tuple[Rows, Status | None]:
        """A⁺ b for each row b: exact, and of minimum norm where A has zero modes.

        The status is None, INDEFINITE if A has a negative eigenvalue, or SINGULAR if some b is not in the range of A.
        """
        if self.cholesky is not None:
            return torch.cholesky_solve(rhs.T, self.cholesky).T, None
        assert self.eigenvalues is not None and self.eigenvectors is not None
        if self.negative:
            return torch.full_like(rhs, torch.nan), Status.INDEFINITE
        live = self.eigenvalues > self.zero
        coordinates = rhs @ self.eigenvectors
        outside = coordinates[:, ~live].norm(dim=1)
        # Rounding puts about sqrt(eps) of b on a zero mode; more means that b is not in the range of A.
        if bool((outside > 1e-6 * rhs.norm(dim=1)).any()):
            return torch.full_like(rhs, torch.nan), Status.SINGULAR
        return (coordinates[:, live] / self.eigenvalues[live]) @ self.eigenvectors[:, live].T, None

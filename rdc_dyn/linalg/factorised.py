"""M = (A₀ + damping I + σI)⁻¹ by a Cholesky factor, with σ = 0 where that is positive definite."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from rdc_dyn.linalg.base import Rows, SymmetricOperator, Vector, all_finite
from rdc_dyn.linalg.factorisation import materialise

#: Vectors of the search for the most negative eigenvalue, its relative accuracy, and most iterations.
_VECTORS, _ACCURACY, _ITERATIONS = 8, 1e-6, 40
#: The first σ > 0 as a share of the largest entry of A, and the ratio of each σ to the last.
_FIRST, _RATIO = 1e-5, 4.0


@dataclass(frozen=True)
class ShiftedCholesky:
    """M = (A + σI)⁻¹ ≻ 0 for any symmetric A; σ = 0 proves that A is positive definite.

    Attributes:
        factor: L.
        shift: σ.
    """

    factor: Tensor
    shift: float

    @classmethod
    def of(cls, matrix: Tensor) -> ShiftedCholesky:
        """Factorise a symmetric matrix of shape (P, P)."""
        scale = max(float(matrix.abs().max()), torch.finfo(matrix.dtype).tiny)
        zero, shift = torch.finfo(matrix.dtype).eps * matrix.shape[0] * scale, 0.0
        eye = torch.eye(matrix.shape[0]).to(matrix)
        while True:
            factor, info = torch.linalg.cholesky_ex(matrix + shift * eye if shift else matrix)
            if int(info) == 0 and float(factor.diagonal().min()) ** 2 > zero:
                return cls(factor, shift)
            shift = max(_FIRST * scale, _RATIO * shift)

    @cached_property
    def most_negative(self) -> tuple[float, Vector] | None:
        """Most negative eigenvalue of A and its eigenvector, or None where there is none.

        It is the largest of M. A block of vectors is iterated with M; what that cannot tell apart is left to `eigh`.
        """
        if not self.shift:
            return None
        size = len(self.factor)
        noise = torch.randn(
            (min(_VECTORS, size), size), generator=torch.Generator().manual_seed(0), dtype=torch.float64
        )
        rows, zero = (
            noise.to(self.factor),
            torch.finfo(self.factor.dtype).eps * size * float(self.factor.square().max()),
        )
        for _ in range(_ITERATIONS):
            rows = torch.linalg.qr(self.apply(rows).T).Q.T
            images = (rows @ self.factor) @ self.factor.T - self.shift * rows
            if not all_finite(images):
                break
            values, turn = torch.linalg.eigh(rows @ images.T)
            vector, value = turn[:, 0] @ rows, float(values[0])
            if float((turn[:, 0] @ images - value * vector).norm()) <= max(_ACCURACY * abs(value), zero):
                return (value, vector) if value < -zero else None
        values, vectors = torch.linalg.eigh(self.factor @ self.factor.T)
        value = float(values[0]) - self.shift
        return (value, vectors[:, 0]) if value < -zero else None

    def apply(self, rows: Rows) -> Rows:
        """(A + σI)⁻¹ v for each row v, in the type of the factor."""
        return torch.cholesky_solve(rows.T.to(self.factor), self.factor).T.to(rows)


#: Time of a build in float32 over one in float64, on a CPU.
SINGLE = 0.65


@dataclass(frozen=True)
class Factorised:
    """Recipe for M by a dense factorisation, up to `MAX_SIZE` parameters; exact where A₀ is positive definite.

    Attributes:
        price: Products that A₀ in closed form and its factor are worth; None: A₀ is formed by products.
        single: Whether both are computed in float32, to be used in the type of the vectors.
    """

    damping: float = 0.0
    price: int | None = None
    single: bool = False

    @property
    def spectral(self) -> bool:
        """Not in float32, in which a factor of an A of condition 10⁶ proves nothing."""
        return not self.single

    def products(self, size: int) -> int:
        """The price of the closed form, or P, one product for each column of A₀."""
        if self.price is None:
            return size
        return math.ceil(SINGLE * self.price) if self.single else self.price

    def build(self, operator: SymmetricOperator) -> ShiftedCholesky:
        """Form and factorise A₀ + damping I."""
        dtype = torch.float32 if self.single else None
        return ShiftedCholesky.of(materialise(operator, self.damping, closed=self.price is not None, dtype=dtype))

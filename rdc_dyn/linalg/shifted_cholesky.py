"""A + σI = L Lᵀ with the smallest σ of 0 and a geometric series that makes it positive definite."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rdc_dyn.linalg.base import Rows, Vector

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

    @property
    def most_negative(self) -> tuple[float, Vector] | None:
        """Most negative eigenvalue of A and its eigenvector, or None where there is none."""
        if not self.shift:
            return None
        values, vectors = torch.linalg.eigh(self.factor @ self.factor.T)
        zero = torch.finfo(values.dtype).eps * len(values) * float(values.abs().max())
        value = float(values[0]) - self.shift
        return (value, vectors[:, 0]) if value < -zero else None

    def apply(self, rows: Rows) -> Rows:
        """(A + σI)⁻¹ v for each row v."""
        return torch.cholesky_solve(rows.T, self.factor).T

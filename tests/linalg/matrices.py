"""Dense matrices with known spectra as operators, shared by the tests of linalg."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

FLOAT64 = torch.float64


class Matrix:
    """A dense matrix as an operator that counts its products."""

    def __init__(self, matrix: Tensor, kernel: Tensor | None = None) -> None:
        self.matrix = matrix
        self.kernel = matrix.new_zeros((0, len(matrix))) if kernel is None else kernel
        self.products = 0

    @property
    def size(self) -> int:
        return self.matrix.shape[0]

    def mv(self, v: Tensor) -> Tensor:
        self.products += 1
        return self.matrix @ v

    def mm(self, rows: Tensor) -> Tensor:
        self.products += rows.shape[0]
        return rows @ self.matrix


def rows(count: int, size: int, seed: int = 1, dtype: torch.dtype = FLOAT64) -> Tensor:
    return torch.randn(count, size, generator=torch.Generator().manual_seed(seed), dtype=FLOAT64).to(dtype)


def spectrum(values: list[float] | Tensor, seed: int = 0) -> Tensor:
    """A symmetric matrix with given eigenvalues."""
    values = torch.as_tensor(values, dtype=FLOAT64)
    q, _ = torch.linalg.qr(rows(len(values), len(values), seed))
    matrix = (q * values) @ q.T
    return 0.5 * (matrix + matrix.T)


def network_like(size: int, outliers: int = 12, condition: float = 1e6) -> Tensor:
    """Eigenvalues of a Hessian: most within a decade at the bottom, some spread over the rest."""
    bottom = torch.logspace(0, 1, size - outliers, dtype=FLOAT64)
    top = torch.logspace(1, torch.tensor(condition).log10().item(), outliers, dtype=FLOAT64)
    return torch.cat([bottom, top]) / condition


def turning(values: Tensor, steps: int, angle: float, seed: int = 3) -> Iterator[Tensor]:
    """A(s) whose eigenvectors turn, and whose eigenvalues change by tens of per cent in all."""
    size = len(values)
    skew = rows(size, size, seed) / size**0.5
    turn = torch.matrix_exp(angle * (skew - skew.T))
    rates = rows(1, size, seed + 1)[0]
    q, _ = torch.linalg.qr(rows(size, size, seed + 2))
    for step in range(steps):
        matrix = (q * (values * torch.exp(angle * step * rates))) @ q.T
        yield 0.5 * (matrix + matrix.T)
        q = turn @ q


def relative_residual(matrix: Tensor, u: Tensor, b: Tensor) -> float:
    return float(((u @ matrix - b).norm(dim=1) / b.norm(dim=1)).max())

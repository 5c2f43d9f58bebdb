"""A = L D Lᵀ with blocks of one and two rows in D, which has as many negative eigenvalues as A (Sylvester 1852)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def negative_eigenvalues(matrix: Float[Tensor, "P P"]) -> int:
    """Number of eigenvalues of a symmetric matrix that are negative beyond rounding: the Morse index."""
    zero = torch.finfo(matrix.dtype).eps * len(matrix) * float(matrix.abs().sum(1).max())
    factors, pivots, _ = torch.linalg.ldl_factor_ex(matrix + zero * torch.eye(len(matrix)).to(matrix))
    single = pivots > 0
    # A block of two rows is chosen where its determinant is negative (Bunch & Kaufman 1977).
    return int((factors.diagonal()[single] < 0).sum()) + int((~single).sum()) // 2

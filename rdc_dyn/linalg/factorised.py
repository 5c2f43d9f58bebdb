"""M = (A₀ + damping I + σI)⁻¹ by a Cholesky factor, with σ = 0 where that is positive definite."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from rdc_dyn.linalg.base import SymmetricOperator
from rdc_dyn.linalg.factorisation import materialise
from rdc_dyn.linalg.shifted_cholesky import ShiftedCholesky

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

"""M = (A₀ + damping I + σI)⁻¹ by a Cholesky factor, with σ = 0 where that is positive definite."""

from __future__ import annotations

from dataclasses import dataclass

from rdc_dyn.linalg.base import SymmetricOperator
from rdc_dyn.linalg.factorisation import materialise
from rdc_dyn.linalg.shifted_cholesky import ShiftedCholesky


@dataclass(frozen=True)
class Factorised:
    """Recipe for M by a dense factorisation, up to `MAX_SIZE` parameters; exact where A₀ is positive definite.

    Attributes:
        price: Products that A₀ in closed form and its factor are worth; None: A₀ is formed by products.
    """

    damping: float = 0.0
    price: int | None = None
    spectral = True

    def products(self, size: int) -> int:
        """The price of the closed form, or P, one product for each column of A₀."""
        return size if self.price is None else self.price

    def build(self, operator: SymmetricOperator) -> ShiftedCholesky:
        """Form and factorise A₀ + damping I."""
        return ShiftedCholesky.of(materialise(operator, self.damping, closed=self.price is not None))

"""M = |A₀ + damping I|⁻¹ by a dense factorisation."""

from __future__ import annotations

from dataclasses import dataclass

from rdc_dyn.linalg.base import SymmetricOperator
from rdc_dyn.linalg.factorisation import Factorisation, materialise


@dataclass(frozen=True)
class Factorised:
    """Exact where A₀ is positive definite; up to `factorisation.MAX_SIZE` parameters.

    Attributes:
        damping: Added to A₀, as to A.
    """

    damping: float = 0.0
    spectral = True

    def products(self, size: int) -> int:
        """P, one for each column of A₀."""
        return size

    def build(self, operator: SymmetricOperator) -> Factorisation:
        """Form and factorise A₀.

        Args:
            operator: A₀.

        Returns:
            Its factors.

        Raises:
            NumericalFailure: NON_FINITE if a product is not finite.
            ValueError: If A₀ is too large.
        """
        return Factorisation.of(materialise(operator, self.damping))

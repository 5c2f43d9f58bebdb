"""M = |A₀ + damping I|⁻¹ by a dense factorisation."""

from __future__ import annotations

from dataclasses import dataclass

from rdc_dyn.linalg.base import SymmetricOperator
from rdc_dyn.linalg.factorisation import Factorisation, materialise


@dataclass(frozen=True)
class Factorised:
    """Recipe for M by a dense factorisation, up to `MAX_SIZE` parameters; exact where A₀ is positive definite."""

    damping: float = 0.0
    spectral = True

    def products(self, size: int) -> int:
        """P, one for each column of A₀."""
        return size

    def build(self, operator: SymmetricOperator) -> Factorisation:
        """Form and factorise A₀ + damping I."""
        return Factorisation.of(materialise(operator, self.damping))

"""M = I."""

from __future__ import annotations

from dataclasses import dataclass

from rdc_dyn.linalg.base import Rows, SymmetricOperator


@dataclass(frozen=True)
class Identity:
    """M = I: recipe and approximation in one."""

    spectral = False
    most_negative = None

    def products(self, size: int) -> int:
        """0: I is the same for every operator."""
        return 0

    def build(self, operator: SymmetricOperator) -> Identity:
        """I itself."""
        return self

    def apply(self, rows: Rows) -> Rows:
        """The rows, unchanged."""
        return rows

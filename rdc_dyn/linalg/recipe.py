"""A₀ → M ≈ A₀⁻¹: how a fixed symmetric positive definite approximation is built from an operator; the simplest is I."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from rdc_dyn.linalg.base import Rows, SymmetricOperator, Vector


class Approximation(Protocol):
    """A fixed, symmetric positive definite M ≈ A₀⁻¹ of one operator A₀."""

    @property
    def most_negative(self) -> tuple[float, Vector] | None:
        """Most negative eigenvalue of A₀ and its eigenvector; None where there is none or M does not know."""

    def apply(self, rows: Rows) -> Rows:
        """M v for each row v."""


class Recipe(Protocol):
    """How M is built, with whatever that takes besides the operator."""

    @property
    def spectral(self) -> bool:
        """Whether the approximation knows if A₀ has a negative eigenvalue."""

    def products(self, size: int) -> int:
        """Products A v that a build takes for P = `size`; 0 where every operator gives the same M."""

    def build(self, operator: SymmetricOperator) -> Approximation:
        """Build M at this operator; only its restriction to the complement of the kernel matters."""


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

"""A₀ → M ≈ A₀⁻¹: how a fixed symmetric positive definite approximation is built from an operator."""

from __future__ import annotations

from typing import Protocol

from rdc_dyn.linalg.base import Rows, SymmetricOperator, Vector


class Approximation(Protocol):
    """M ≈ A₀⁻¹ of one operator A₀: symmetric, positive definite, fixed."""

    @property
    def most_negative(self) -> tuple[float, Vector] | None:
        """Most negative eigenvalue of A₀ and its vector; None where there is none or M does not know."""
        ...

    def apply(self, rows: Rows) -> Rows:
        """M v for each row v."""
        ...


class Recipe(Protocol):
    """How M is made; it holds whatever it needs besides the operator.

    Attributes:
        spectral: Whether the approximation knows if A₀ has a negative eigenvalue.
    """

    @property
    def spectral(self) -> bool:
        """Whether the approximation knows if A₀ has a negative eigenvalue."""
        ...

    def products(self, size: int) -> int:
        """Cost of a build in products A v for P = `size`; 0 where a build at another operator gives the same M."""
        ...

    def build(self, operator: SymmetricOperator) -> Approximation:
        """Build M at this operator; only its restriction to the complement of the kernel matters."""
        ...

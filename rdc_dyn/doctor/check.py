"""error ≤ bound: one thing that was looked at."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: What.
        value: How far it is off; without unit.
        bound: How far it may be off.
        hint: What to do if it is off further.
    """

    name: str
    value: float
    bound: float
    hint: str

    @property
    def passed(self) -> bool:
        """Whether it is not off too far; what is not a number is."""
        return self.value <= self.bound

    @property
    def strain(self) -> float:
        """The error in units of its bound, by which the worse of two is told."""
        if self.passed:
            return self.value / self.bound if self.bound else 0.0
        return self.value / self.bound if self.bound and not math.isnan(self.value) else math.inf

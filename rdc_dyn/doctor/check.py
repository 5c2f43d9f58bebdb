"""The result of one check, error ≤ bound."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """The result of one check.

    Attributes:
        value: The error, without unit.
        bound: The largest error that passes.
        hint: What to do if the check fails.
    """

    name: str
    value: float
    bound: float
    hint: str

    @property
    def passed(self) -> bool:
        """Whether the error is within its bound; NaN is not."""
        return self.value <= self.bound

    @property
    def strain(self) -> float:
        """The error in units of its bound, by which the worse of two checks is found."""
        if self.passed:
            return self.value / self.bound if self.bound else 0.0
        return self.value / self.bound if self.bound and not math.isnan(self.value) else math.inf

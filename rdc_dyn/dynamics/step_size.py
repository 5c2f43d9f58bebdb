"""Step sizes: h is halved after a failed step and doubled after a good one, which bisects whatever stops the path."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class StepSize:
    """Length of the next segment.

    Attributes:
        nominal: The scenario's step size, positive.
        smallest: A step of this length that fails is not retried: what stops the path is located to within it.
        current: Length in force; None is the nominal one.
        failed: Length of the last step, if it failed.
    """

    nominal: float
    smallest: float = 1e-4
    current: float | None = None
    failed: float | None = None

    @property
    def value(self) -> float:
        """h, positive."""
        return self.nominal if self.current is None else self.current

    @property
    def exhausted(self) -> bool:
        """Whether the last failed step was too short to be halved."""
        return self.failed is not None and self.failed <= self.smallest * (1 + 1e-6)  # a rounded clock difference

    def rejected(self, length: float) -> StepSize:
        """Halve a step of this length, which failed, but not below the smallest."""
        return replace(self, current=max(0.5 * length, min(length, self.smallest)), failed=length)

    def accepted(self, growth: float | None = None) -> StepSize:
        """Double a step that succeeded, or multiply it by `growth`, up to the nominal length."""
        longer = self.value * (2.0 if growth is None else growth)
        return replace(self, current=min(max(longer, self.smallest), self.nominal), failed=None)

    def target(self, s: float, span: tuple[float, float], reach: float = math.inf) -> float:
        """End of the next segment: s + h, but no further than the next multiple of the nominal step or the end.

        `reach` is the longest step that is safe for other reasons; it shortens no step below a quarter of the smallest.
        """
        start, end = span
        sign = math.copysign(1.0, end - start)
        h = min(self.value, max(reach, 0.25 * self.smallest))
        done = sign * (s - start)
        # Returning to the grid after a halved step keeps the recorded times at those that the scenario implies.
        grid = self.nominal * (math.floor(done / self.nominal + 1e-9) + 1)
        length = grid if grid <= done + h * (1 + 1e-9) else done + h
        return end if abs(end - start) - length <= 1e-9 * self.nominal else start + sign * length

"""h ← h/2 after a failed step, 2h up to its nominal value after a good one: bisection of whatever stops the path."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class StepSize:
    """Length of the next segment.

    Attributes:
        nominal: The scenario's step size, positive.
        smallest: A step of this length that fails is not tried again: what stops the path is located to it.
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
        return self.failed is not None and self.failed <= self.smallest * (1 + 1e-6)  # a difference of two clocks

    def rejected(self, length: float) -> StepSize:
        """A step of this length failed: half of it, never less than the smallest."""
        return replace(self, current=max(0.5 * length, min(length, self.smallest)), failed=length)

    def accepted(self, growth: float | None = None) -> StepSize:
        """The step succeeded: twice of it, or as much as the corrector has judged, at most the nominal one."""
        longer = self.value * (2.0 if growth is None else growth)
        return replace(self, current=min(max(longer, self.smallest), self.nominal), failed=None)

    def target(self, s: float, span: tuple[float, float], reach: float = math.inf) -> float:
        """End of the next segment: s + h, but no further than the next multiple of the nominal step or the end.

        Args:
            s: Clock.
            span: First and last value of the clock; the last may be the smaller.
            reach: Longest step that is safe for another reason; it shortens no step below a quarter of the smallest.

        Returns:
            The clock at the end of the segment.
        """
        start, end = span
        sign = math.copysign(1.0, end - start)
        h = min(self.value, max(reach, 0.25 * self.smallest))
        done = sign * (s - start)
        # Coming back to the grid after a halved step keeps the recorded times those that the scenario names.
        grid = self.nominal * (math.floor(done / self.nominal + 1e-9) + 1)
        length = grid if grid <= done + h * (1 + 1e-9) else done + h
        return end if abs(end - start) - length <= 1e-9 * self.nominal else start + sign * length

"""h ← h/2 after a failed step, 2h up to its nominal value after a good one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StepSize:
    """Length of the next segment.

    Attributes:
        nominal: The scenario's step size, positive.
        max_halvings: Most halvings; a step that still fails then ends the run.
        halvings: Halvings in force.
    """

    nominal: float
    max_halvings: int = 10
    halvings: int = 0

    @property
    def value(self) -> float:
        """h, positive."""
        return self.nominal * 0.5**self.halvings

    @property
    def exhausted(self) -> bool:
        """Whether h has been halved more often than is allowed."""
        return self.halvings > self.max_halvings

    def rejected(self) -> StepSize:
        """The step failed: half of it."""
        return StepSize(self.nominal, self.max_halvings, self.halvings + 1)

    def accepted(self) -> StepSize:
        """The step succeeded: twice of it, at most the nominal one."""
        return StepSize(self.nominal, self.max_halvings, max(0, self.halvings - 1))

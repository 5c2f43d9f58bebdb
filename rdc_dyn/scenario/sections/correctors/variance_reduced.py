"""Minibatch steps around anchors with full gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field

from rdc_dyn.scenario.families import PullingSection
from rdc_dyn.scenario.section import Count, Positive
from rdc_dyn.scenario.sections.correctors._words import BATCH, TOLERANCE
from rdc_dyn.scenario.tree import Tree

if TYPE_CHECKING:
    from rdc_dyn.dynamics import Corrector
    from rdc_dyn.scenario.context import Context
    from rdc_dyn.scenario.scenario import Scenario


class VarianceReducedSection(PullingSection):
    """Preconditioned SVRG: minibatch steps around anchors with full gradients, down to a tolerance on |grad J|."""

    method: Literal["variance_reduced"]
    batch: Count = Field(default=64, description=BATCH)
    steps: Count = Field(default=10, description="steps from one anchor to the next; the first is a full-gradient step")
    epochs: Count = Field(default=100, description="most anchors; a correction that needs more fails")
    step: Positive = Field(default=0.1, description="length, 1 is Newton's; halved where an epoch does not lower J")
    tolerance: Positive | None = Field(default=None, description=TOLERANCE)
    solves: ClassVar[bool] = True
    needs_data: ClassVar[bool] = True
    promises: ClassVar[bool] = True

    @classmethod
    def takes_fresh_noise(cls, own: Tree) -> bool:
        """No: J has to be a function."""
        return False

    def build(self, context: Context) -> Corrector:
        """SVRG with the preconditioner of the response's solver."""
        from rdc_dyn.dynamics import VarianceReduced

        assert self.tolerance is not None  # resolved
        return VarianceReduced(
            context.preconditioner,
            self.tolerance,
            self.batch,
            self.steps,
            self.epochs,
            self.step,
            context.scenario.seed,
        )

    def resolve(self, scenario: Scenario) -> Self:
        """The tolerance that the type of numbers allows."""
        return super().resolve(scenario).default(tolerance=scenario.precision)

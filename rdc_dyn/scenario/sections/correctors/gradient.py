"""The paper's corrector: Adam."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from rdc_dyn.scenario.section import Count, Natural, Positive
from rdc_dyn.scenario.sections.correctors import BATCH, PullingSection
from rdc_dyn.scenario.tree import Tree

if TYPE_CHECKING:
    from rdc_dyn.dynamics import Corrector
    from rdc_dyn.scenario.context import Context


class GradientSection(PullingSection):
    """The paper's equilibration: Adam with learning rate proportional to (k/K)^2 (1 - k/K)^5, or a constant one."""

    method: Literal["gradient"]
    steps: Count = 200
    peak_learning_rate: Positive = 1.5e-3
    schedule: Literal["hump", "constant"] = Field(
        default="hump", description="of the learning rate: the paper's, or constant as in plain training"
    )
    trace: Natural = Field(
        default=0, description="values of J in the course of each correction, in its event equilibrated; 0: none"
    )
    batch: Count | None = Field(default=None, description=BATCH + "; null: all data")
    has_floor = False

    def build(self, context: Context) -> Corrector:
        """Adam, seeded by the scenario."""
        from rdc_dyn.dynamics import Gradient

        seed = context.scenario.seed
        return Gradient(self.steps, self.peak_learning_rate, self.batch, seed, self.schedule, self.trace)

    @property
    def approximations(self) -> tuple[str, ...]:
        """Minibatches, where there are any."""
        return () if self.batch is None else (f"corrector gradients from minibatches of {self.batch}",)

    @classmethod
    def draws(cls, own: Tree) -> bool:
        """Whether it takes minibatches."""
        return own.get("batch") is not None

    @classmethod
    def takes_fresh_noise(cls, own: Tree) -> bool:
        """Only for minibatches."""
        return cls.draws(own)

"""C stays constant."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from rdc_dyn.scenario.families import ProcessSection
from rdc_dyn.scenario.sections.processes._clock import ClockField
from rdc_dyn.scenario.tree import Tree

if TYPE_CHECKING:
    from rdc_dyn.dynamics import Process, State


class IsoClassificationSection(ProcessSection):
    """Remark 7: the classification loss stays constant."""

    kind: Literal["iso_classification"]
    clock: ClockField = "multipliers"
    holds_classification: ClassVar[bool] = True

    @classmethod
    def frees_one(cls, own: Tree) -> bool:
        """With lam as the clock."""
        return own.get("clock") == "lam"

    def build(self, start: State) -> Process:
        """The iso-functional process of C alone."""
        from rdc_dyn.dynamics import IsoFunctional

        return IsoFunctional(self.span, (0.0, 0.0, 1.0), self.clock)

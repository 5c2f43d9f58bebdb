"""Any a R + b D + c C stays constant."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from rdc_dyn.scenario.families import ProcessSection
from rdc_dyn.scenario.mistakes import Finding, Path
from rdc_dyn.scenario.sections.processes._clock import ClockField
from rdc_dyn.scenario.sections.processes._held import Held
from rdc_dyn.scenario.tree import Tree

if TYPE_CHECKING:
    from rdc_dyn.dynamics import Process, State


class IsoFunctionalSection(ProcessSection):
    """Remark 8: any a R + b D + c C stays constant, such as the rate, the distortion or C + R / beta."""

    kind: Literal["iso_functional"]
    hold: Held
    clock: ClockField = "multipliers"

    @classmethod
    def frees_one(cls, own: Tree) -> bool:
        """With lam as the clock."""
        return own.get("clock") == "lam"

    def build(self, start: State) -> Process:
        """The process."""
        from rdc_dyn.dynamics import IsoFunctional

        return IsoFunctional(self.span, self.hold.weights, self.clock)

    @classmethod
    def check(cls, tree: Tree, path: Path) -> Iterator[Finding]:
        """Something is held."""
        yield from super().check(tree, path)
        yield from Held.something(tree, path)

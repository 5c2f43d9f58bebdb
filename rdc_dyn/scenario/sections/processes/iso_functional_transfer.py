"""From source to target at constant a R + b D + c C and a given dλ/dt."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from rdc_dyn.scenario.families import ProcessSection
from rdc_dyn.scenario.mistakes import Finding, Path
from rdc_dyn.scenario.section import Finite
from rdc_dyn.scenario.sections.processes._held import Held
from rdc_dyn.scenario.tree import Tree

if TYPE_CHECKING:
    from rdc_dyn.dynamics import Process, State


class IsoFunctionalTransferSection(ProcessSection):
    """Remark 8 while fine-tuning: a R + b D + c C stays constant while the data change; the clock is data_position."""

    kind: Literal["iso_functional_transfer"]
    hold: Held
    lam_rate: Finite = Field(default=0.0, description="d lam / dt")
    transfer: ClassVar[bool] = True

    @classmethod
    def frees_one(cls, own: Tree) -> bool:
        """Gamma, since lam is given."""
        return True

    def build(self, start: State) -> Process:
        """The process."""
        from rdc_dyn.dynamics import IsoFunctionalTransfer

        return IsoFunctionalTransfer(self.span, self.lam_rate, self.hold.weights)

    @classmethod
    def check(cls, tree: Tree, path: Path) -> Iterator[Finding]:
        """Something is held."""
        yield from super().check(tree, path)
        yield from Held.something(tree, path)

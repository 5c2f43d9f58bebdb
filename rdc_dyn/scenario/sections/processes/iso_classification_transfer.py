"""From source to target at constant C and a given dλ/dt."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from rdc_dyn.scenario.families import ProcessSection
from rdc_dyn.scenario.section import Finite
from rdc_dyn.scenario.tree import Tree

if TYPE_CHECKING:
    from rdc_dyn.dynamics import Process, State


class IsoClassificationTransferSection(ProcessSection):
    """(32): from source to target at constant C and constant d lam / dt; the clock is data_position."""

    kind: Literal["iso_classification_transfer"]
    lam_rate: Finite = Field(description="d lam / dt")
    transfer: ClassVar[bool] = True
    holds_classification: ClassVar[bool] = True

    @classmethod
    def frees_one(cls, own: Tree) -> bool:
        """Gamma, since lam is given."""
        return True

    def build(self, start: State) -> Process:
        """The process."""
        from rdc_dyn.dynamics import IsoFunctionalTransfer

        return IsoFunctionalTransfer(self.span, self.lam_rate)

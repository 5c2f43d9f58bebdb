"""From source to target on a straight line in (R, D) at constant C."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from rdc_dyn.scenario.section import Finite, NonNegative, Section
from rdc_dyn.scenario.sections.processes import ProcessSection
from rdc_dyn.scenario.written import Finding, Path, Tree, number, section
from rdc_dyn.status import UserError

if TYPE_CHECKING:
    from rdc_dyn.dynamics import Process, State


class Toward(Section):
    """Multipliers of an equilibrium with the classification loss of the start."""

    lam: NonNegative
    gamma: NonNegative


class GeodesicTransferSection(ProcessSection):
    """(30): from source to target on a straight line in (R, D) at constant C; the clock is data_position."""

    kind: Literal["geodesic_transfer"]
    slope: Finite | None = Field(default=None, description="k = dD/dR of the line")
    toward: Toward | None = Field(
        default=None, description="in place of slope: the equilibrium at the end of the span to aim at"
    )
    transfer = True
    holds_classification = True

    @property
    def aims(self) -> bool:
        """Whether the slope is still to be found."""
        return self.toward is not None

    def build(self, start: State) -> Process:
        """The geodesic; where it aims, the straight path to its goal, from which its slope will be known."""
        from rdc_dyn.dynamics import GeodesicTransfer, Prescribed

        if self.toward is not None:
            return Prescribed(self.span, (start.lam, self.toward.lam), (start.gamma, self.toward.gamma), self.span)
        assert self.slope is not None  # `check` asks for one of the two
        if abs(1 + self.slope * start.lam) < 1e-9:  # lam may come from an earlier run, which no check has seen
            raise UserError(
                f"process.slope: is -1/lam at lam = {start.lam:g}, the slope of the iso-classification curve itself, "
                "where no geodesic starts"
            )
        return GeodesicTransfer(self.span, self.slope)

    @classmethod
    def check(cls, tree: Tree, path: Path) -> Iterator[Finding]:
        """It has a slope or a goal, and does not run along the iso-classification curve."""
        yield from super().check(tree, path)
        own = section(tree, *path)
        slope, lam = number(own.get("slope")), number(section(tree, "start").get("lam"))
        if slope is not None and lam is not None and abs(1 + slope * lam) < 1e-9:
            message = "is -1/lam, the slope of the iso-classification curve itself, where no geodesic starts"
            yield Finding((*path, "slope"), message)
        if own.get("slope") is None and own.get("toward") is None:
            yield Finding((*path, "slope"), "missing; give dD/dR of the line, or process.toward, multipliers to aim at")
        if own.get("slope") is not None and own.get("toward") is not None:
            yield Finding((*path, "toward"), "the line has a slope already; give either slope or toward", at_key=True)

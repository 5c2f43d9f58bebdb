"""Processes that hold a functional of (R, D, C): C or a combination, on given data or while the data change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from rdc_dyn.scenario.section import Finite, NonNegative, Section
from rdc_dyn.scenario.sections.processes import ProcessSection
from rdc_dyn.scenario.written import Finding, KeyPath, Tree, number, section
from rdc_dyn.status import UserError

if TYPE_CHECKING:
    from rdc_dyn.dynamics import Process, State

#: Values of the key `clock`, with a line on each.
CLOCKS = {
    "alpha": "alpha = 1: d lam = -C_gamma, d gamma = C_lam; speed follows the curvature of F",
    "multipliers": "unit speed in (lam, gamma)",
    "rate_distortion": "unit speed in (R, D)",
    "lam": "unit speed of lam; gamma follows, and alone restores what is held",
    "log_lam": "the same at unit speed of log lam, for paths over decades; Euler multiplies lam by 1 + step_size",
}


class HeldSection(Section):
    """Weights a, b, c of the functional a R + b D + c C that stays constant."""

    rate: Finite = Field(default=0.0, description="weight of R")
    distortion: Finite = Field(default=0.0, description="weight of D")
    classification_loss: Finite = Field(default=0.0, description="weight of C")


class HoldingSection(ProcessSection):
    """A process that says what it holds."""

    hold: HeldSection = Field(description="weights of what stays constant")

    @property
    def weights(self) -> tuple[float, float, float]:
        """(a, b, c)."""
        return self.hold.rate, self.hold.distortion, self.hold.classification_loss

    @classmethod
    def check(cls, tree: Tree, path: KeyPath) -> Iterator[Finding]:
        """Something is held."""
        yield from super().check(tree, path)
        hold = section(tree, *path, "hold")
        if hold and not any(map(number, hold.values())):
            yield Finding((*path, "hold"), "nothing is held; give rate, distortion or classification_loss a weight")


class ClockedSection(ProcessSection):
    """A process on given data."""

    clock: Literal["alpha", "multipliers", "rate_distortion", "lam", "log_lam"] = Field(
        default="multipliers", description="what has unit speed: alpha = 1, (lam, gamma), (R, D), lam or log lam alone"
    )

    @classmethod
    def frees_one(cls, own: Tree) -> bool:
        """With lam as the clock."""
        return own.get("clock") in ("lam", "log_lam")

    @classmethod
    def check(cls, tree: Tree, path: KeyPath) -> Iterator[Finding]:
        """The logarithm of lam exists."""
        yield from super().check(tree, path)
        if section(tree, *path).get("clock") == "log_lam" and number(section(tree, "start").get("lam")) == 0:
            yield Finding((*path, "clock"), "log_lam needs start.lam > 0; use lam")

    def build(self, start: State) -> Process:
        """The process."""
        from rdc_dyn.dynamics import IsoFunctional

        return IsoFunctional(self.span, self.weights, self.clock)


class TransferSection(ProcessSection):
    """A process from source to target data; lam is given, gamma follows."""

    lam_rate: Finite = Field(description="d lam / dt")
    transfer = True

    @classmethod
    def frees_one(cls, own: Tree) -> bool:
        """Gamma, since lam is given."""
        return True

    def build(self, start: State) -> Process:
        """The process."""
        from rdc_dyn.dynamics import IsoFunctionalTransfer

        return IsoFunctionalTransfer(self.span, self.lam_rate, self.weights)


class IsoClassificationSection(ClockedSection):
    """Remark 7: the classification loss stays constant."""

    kind: Literal["iso_classification"]
    holds_classification = True


class IsoClassificationTransferSection(TransferSection):
    """(32): from source to target at constant C and constant d lam / dt; the clock is data_position."""

    kind: Literal["iso_classification_transfer"]
    holds_classification = True


class IsoFunctionalSection(ClockedSection, HoldingSection):
    """Remark 8: any a R + b D + c C stays constant, such as the rate, the distortion or C + R / beta."""

    kind: Literal["iso_functional"]


class IsoFunctionalTransferSection(TransferSection, HoldingSection):
    """Remark 8 while fine-tuning: a R + b D + c C stays constant while the data change; the clock is data_position."""

    kind: Literal["iso_functional_transfer"]
    lam_rate: Finite = Field(default=0.0, description="d lam / dt")


class TowardSection(Section):
    """Multipliers of an equilibrium with the classification loss of the start."""

    lam: NonNegative = Field(description="multiplier of the distortion there")
    gamma: NonNegative = Field(description="multiplier of the classification loss there")


class GeodesicTransferSection(ProcessSection):
    """(30): from source to target on a straight line in (R, D) at constant C; the clock is data_position."""

    kind: Literal["geodesic_transfer"]
    slope: Finite | None = Field(default=None, description="k = dD/dR of the line")
    toward: TowardSection | None = Field(
        default=None, description="in place of slope: the equilibrium at the end of the span to aim at"
    )
    transfer = True
    holds_classification = True
    straight = True

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

    def on_surface(self, start: State, losses: Callable[..., Any]) -> Process:
        """The geodesic, whose slope towards its goal is known at once."""
        if self.toward is None:
            return self.build(start)
        from rdc_dyn.dynamics import GeodesicTransfer

        goal, first = losses(self.toward.lam, self.toward.gamma, self.span[1]), losses(*start.controls.tolist())
        return GeodesicTransfer(self.span, float((goal[1] - first[1]) / (goal[0] - first[0])))

    @classmethod
    def check(cls, tree: Tree, path: KeyPath) -> Iterator[Finding]:
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

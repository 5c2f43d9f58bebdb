"""Processes: what the sections of the family have in common; a file for each member or a few that are alike."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field

from rdc_dyn.scenario.family import Family
from rdc_dyn.scenario.given import Given
from rdc_dyn.scenario.section import Interval, Section
from rdc_dyn.scenario.sections.objectives import OBJECTIVES
from rdc_dyn.scenario.written import Finding, KeyPath, Tree, number, section, show

if TYPE_CHECKING:
    from rdc_dyn.dynamics import Process, State
    from rdc_dyn.scenario.scenario import Scenario


class ProcessSection(Section):
    """What moves (lam, gamma, data_position).

    Attributes:
        transfer: Whether the clock is the data position, which the process moves.
        holds_classification: Whether gamma is what keeps C constant, so that it has to be positive.
        responds: Whether its rates need M; else theta may follow by corrections alone.
        prescribes: Whether the scenario gives the multipliers as functions of the clock.
        straight: Whether it is a straight line in (R, D).
        ends: Where a pair of a multiplier's ends may stand, the first of which is its start.
    """

    kind: str
    span: Interval = Field(default=(0.0, 1.0), description="first and last value of the process clock")
    on_fold: Literal["stop", "relax", "follow"] | None = Field(
        default=None,
        description="where a branch of minima ends; null: relax for networks with a linear response, else stop",
    )
    look_ahead: bool | None = Field(
        default=None,
        description="watch for folds and branch points ahead; null: for exact objectives with response.kind "
        "linear_response",
    )
    transfer: ClassVar[bool] = False
    holds_classification: ClassVar[bool] = False
    responds: ClassVar[bool] = True
    prescribes: ClassVar[bool] = False
    straight: ClassVar[bool] = False
    ends: ClassVar[KeyPath] = ()

    @abstractmethod
    def build(self, start: State) -> Process:
        """The process from the start on."""

    def on_surface(self, start: State, losses: Callable[..., Any]) -> Process:
        """The process where the surface is known: `losses` are (R, D, C) at (λ, γ, t)."""
        return self.build(start)

    @property
    def data_position(self) -> float:
        """t at the start."""
        return self.span[0] if self.transfer else 0.0

    @property
    def aims(self) -> bool:
        """Whether the process is only the way to the equilibrium that a geodesic is to aim at."""
        return False

    @property
    def weights(self) -> tuple[float, float, float]:
        """Those of R, D and C in what is held, as far as anything is: C by default."""
        return (0.0, 0.0, 1.0)

    def begins(self, lam: float | None, gamma: float | None) -> tuple[float | None, float | None]:
        """The multipliers at the start, where the section `start` or an earlier run has these."""
        return lam, gamma

    @classmethod
    def moves_data(cls, own: Tree) -> bool:
        """Whether the data move, by the raw section."""
        return cls.transfer

    @classmethod
    def frees_one(cls, own: Tree) -> bool:
        """Whether gamma alone is free, or nothing, by the raw section."""
        return not cls.responds

    @classmethod
    def check(cls, tree: Tree, path: KeyPath) -> Iterator[Finding]:
        """What every process needs."""
        own, kind = section(tree, *path), section(tree, *path).get("kind")
        span = own.get("span", [0.0, 1.0])
        if isinstance(span, list) and len(span) == 2 and number(span[0]) is not None and span[0] == span[1]:
            yield Finding((*path, "span"), f"the ends must differ, got {show(span)}")
        if cls.transfer and isinstance(span, list) and any(not 0 <= (number(t) or 0.0) <= 1 for t in span):
            yield Finding((*path, "span"), f"the clock is the data position, from 0 to 1, got {show(span)}")
        if cls.holds_classification and number(section(tree, "start").get("gamma")) == 0:
            message = f"must be > 0 for {kind}: at gamma = 0 nothing holds the classification loss"
            yield Finding(("start", "gamma"), message)
        objective = OBJECTIVES.of(tree.get("objective"))
        target = None if objective is None else objective.target
        if cls.moves_data(own) and target is not None and section(tree, target[0]).get(target[1]) is None:
            yield Finding(target, f"missing; the process '{kind}' moves the data from a source to a target")
        # Relaxing onto another branch takes the minimiser of the start.
        steps = section(tree, "start", "equilibrate").get("newton_steps")
        if type(steps) is int and steps == 0 and own.get("on_fold") == "relax":
            yield Finding((*path, "on_fold"), "relax descends by start.equilibrate.newton_steps, which is 0; use stop")

    def resolve(self, scenario: Scenario) -> Self:
        """By default nothing takes products with A that a response without A has been chosen to avoid."""
        curved, exact = scenario.response.exact, scenario.objective.exact
        relaxes = curved and not exact and scenario.start.equilibrate.newton_steps > 0
        return self.default(on_fold="relax" if relaxes else "stop", look_ahead=exact and curved)


class GivenProcessSection(Given, ProcessSection):
    """A process of your own, passed in Python by rdc_dyn.run(process=...)."""

    kind: Literal["given"]
    responds = False  # it may not need M, which nothing tells from here


PROCESSES = Family("processes", ProcessSection)

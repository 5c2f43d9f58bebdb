"""Correctors: what the sections of the family have in common; a file for each member or a few that are alike."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field

from rdc_dyn.scenario.family import Family
from rdc_dyn.scenario.given import Given
from rdc_dyn.scenario.mistakes import Finding, Path
from rdc_dyn.scenario.section import Count, NonNegative, Section
from rdc_dyn.scenario.tree import Tree, number, section

if TYPE_CHECKING:
    from rdc_dyn.dynamics import Corrector
    from rdc_dyn.scenario.context import Context
    from rdc_dyn.scenario.scenario import Scenario

BATCH = "data (of each part) in a minibatch, drawn anew for each step; seeded by seed"
Batch = Annotated[Count, Field(description=BATCH)]


class CorrectorSection(Section):
    """What brings theta back to the surface.

    Attributes:
        moves: Whether it moves theta at all.
        solves: Whether it takes the response's solver or its preconditioner.
        stochastic: Whether it records means over epochs of minibatches, by which the multipliers hold what is held.
        needs_data: Whether it draws minibatches, whatever its settings.
        promises: Whether it reaches a tolerance on |grad J|.
        boundary_layer: Whether a transfer begins with a short step, in which it learns the foreign data.
        has_floor: Whether the |grad J| that it leaves is an error below which smaller steps of the path do not lead.
    """

    method: str
    moves: ClassVar[bool] = True
    solves: ClassVar[bool] = False
    stochastic: ClassVar[bool] = False
    needs_data: ClassVar[bool] = False
    promises: ClassVar[bool] = False
    boundary_layer: ClassVar[bool] = False
    has_floor: ClassVar[bool] = True

    @abstractmethod
    def build(self, context: Context) -> Corrector:
        """The corrector."""

    @property
    def pull(self) -> float:
        """κ of dh/ds = -κ (h - h0), by which the vector field pulls what the process holds back to its value."""
        return 0.0

    @property
    def holds_to(self) -> float:
        """The tolerance, in nats, to which it restores what the process holds; 0 where it does not."""
        return 0.0

    @property
    def approximations(self) -> tuple[str, ...]:
        """What is approximate, a clause each."""
        return ()

    @classmethod
    def draws(cls, own: Tree) -> bool:
        """Whether it draws minibatches, by the raw section."""
        return cls.needs_data

    @classmethod
    def takes_fresh_noise(cls, own: Tree) -> bool:
        """Whether noise may be drawn anew for each minibatch, by the raw section: not by what takes all data."""
        return True


class PullingSection(CorrectorSection):
    """A corrector that leaves what the process holds to the vector field."""

    baumgarte: NonNegative | None = Field(
        default=None,
        description="rate at which the vector field pulls what the process holds back to its value, per unit of the "
        "clock; null: 1 / integrator.step_size with response.kind secant, else 0",
    )

    @property
    def pull(self) -> float:
        """The scenario's."""
        return self.baumgarte or 0.0

    @classmethod
    def check(cls, tree: Tree, path: Path) -> Iterator[Finding]:
        """A pull towards the held values is stable."""
        integrator = section(tree, "integrator")
        rate, step = number(section(tree, *path).get("baumgarte")), number(integrator.get("step_size"))
        if rate and integrator.get("method") == "euler" and step and step > 0 and rate * step > 1 + 1e-12:
            message = f"must be <= 1 / integrator.step_size, which is {1 / step:g}, or Euler overshoots, got {rate:g}"
            yield Finding((*path, "baumgarte"), message)

    def resolve(self, scenario: Scenario) -> Self:
        """1/h where M is guessed and does not hold what the process holds."""
        start, end = scenario.process.span
        step = min(scenario.integrator.resolve(scenario).step_size or 0.0, abs(end - start))
        return self.default(baumgarte=1.0 / step if scenario.response.guesses else 0.0)


class GivenCorrectorSection(Given, PullingSection):
    """A corrector of your own, passed in Python by rdc_dyn.run(corrector=...)."""

    method: Literal["given"]


class NoCorrectorSection(PullingSection):
    """The trajectory is what the integrator gives."""

    method: Literal["none"]
    moves = False
    has_floor = False

    def build(self, context: Context) -> Corrector:
        """Leaves every state where it is."""
        from rdc_dyn.dynamics import NoCorrector

        return NoCorrector()


CORRECTORS = Family("correctors", CorrectorSection, "method")

"""Correctors: what the sections of the family have in common; a file for each member or a few that are alike."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from rdc_dyn.scenario.family import Family
from rdc_dyn.scenario.section import Count, Section
from rdc_dyn.scenario.written import Tree

if TYPE_CHECKING:
    from rdc_dyn.dynamics import Corrector
    from rdc_dyn.scenario.context import Context

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
        returns: Whether it returns to the surface, at least in the mean, so that free energy is lost and never gained.
        boundary_layer: Whether a transfer begins with a short step, in which it learns the foreign data.
        has_floor: Whether the |grad J| that it leaves is an error below which smaller steps of the path do not lead.
    """

    method: str
    moves: ClassVar[bool] = True
    solves: ClassVar[bool] = False
    stochastic: ClassVar[bool] = False
    needs_data: ClassVar[bool] = False
    promises: ClassVar[bool] = False
    returns: ClassVar[bool] = False
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
    def takes_fresh_noise(cls, own: Tree) -> bool:
        """Whether noise may be drawn anew for each minibatch, by the raw section: not by what takes all data."""
        return True


def too_large(batch: int, data: int) -> str:
    """What is said of a minibatch that is larger than the data; empty where it is not."""
    return f"must be <= {data}, the number of data, got {batch}" if batch > data else ""


CORRECTORS = Family("correctors", CorrectorSection, "method")

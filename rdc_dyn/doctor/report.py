"""Checks at θ₀ and near it, and what derivatives cost, for a scenario."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rdc_dyn.build import build
from rdc_dyn.doctor.check import Check
from rdc_dyn.doctor.examinations import examinations
from rdc_dyn.doctor.measure import measure
from rdc_dyn.doctor.place import Place
from rdc_dyn.dynamics import State
from rdc_dyn.objective import FreeEnergy, Work
from rdc_dyn.scenario import Scenario
from rdc_dyn.status import UserError

#: How far the second place lies from the first, relative to |θ₀|. Where an objective starts, parts of its derivatives
#: vanish by symmetry, and what vanishes cannot be seen to be wrong.
_AWAY = 0.1


@dataclass(frozen=True)
class Report:
    """What was found.

    Attributes:
        checks: What was looked at, each where it is worst.
        measures: Further numbers, by name, in words.
    """

    checks: tuple[Check, ...] = ()
    measures: tuple[tuple[str, str], ...] = ()

    @property
    def healthy(self) -> bool:
        """Whether all checks passed."""
        return all(check.passed for check in self.checks)


def examine(places: Sequence[Place]) -> tuple[Check, ...]:
    """All checks of an objective, each where it is worst.

    Args:
        places: At least one.

    Returns:
        The checks.
    """
    rounds = []
    for place in places:
        # The first one is whether numbers are finite; where those of first order are not, nothing else can be said.
        first, *others = examinations(place.free_energy.objective)
        rounds.append([first.of(place)] + [each.of(place) for each in others if place.exists])
    by_name: dict[str, Check] = {}
    for check in (check for found in rounds for check in found):
        known = by_name.get(check.name)
        by_name[check.name] = check if known is None or check.strain > known.strain else known
    return tuple(by_name.values())


def two_places(free_energy: FreeEnergy, start: State) -> tuple[Place, Place]:
    """θ₀, where a run begins before it equilibrates, and a place beside it."""
    here = Place(free_energy, start)
    away = _AWAY * here.length * Place(free_energy, start, seed=1).directions(1)[0]
    return here, Place(free_energy, State(start.theta + away, start.controls), seed=2)


def diagnose(scenario: Scenario, folder: Path, device: str | None = None) -> Report:
    """Examine the objective of a scenario as a run would evaluate it.

    Args:
        scenario: Any.
        folder: Folder that relative paths of the scenario start from.
        device: Overrides the scenario's device.

    Returns:
        Checks and measures.

    Raises:
        UserError: If the scenario asks for what is not there, or several processes run it.
        DataError: If data or a checkpoint cannot be used.
    """
    built = build(scenario, folder, device)
    if built.team is not None:
        raise UserError("doctor: looks at the derivatives of one process; start it without torchrun")
    # A of some of the data (linearisation.curvature_data) is not the derivative of ∇J, nor is it meant to be.
    free_energy = replace(built.problem.free_energy, work=Work(), curvature=None, curvature_share=1.0)
    start = built.problem.start
    checks = examine(two_places(free_energy, start))
    return Report(checks, measure(scenario, free_energy, start) if checks[0].passed else ())

"""Check the derivatives of a scenario's objective at θ₀ and near it, and measure what they cost."""

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

#: Distance between the two places, relative to the scale of θ₀. Where an objective starts, parts of its derivatives
#: vanish by symmetry, and an error in what vanishes does not show.
_AWAY = 0.1


@dataclass(frozen=True)
class Report:
    """Checks and measurements.

    Attributes:
        checks: Each check at the place where it is worst.
        measures: Further numbers, as names and values in words.
    """

    checks: tuple[Check, ...] = ()
    measures: tuple[tuple[str, str], ...] = ()

    @property
    def healthy(self) -> bool:
        """Whether all checks passed."""
        return all(check.passed for check in self.checks)


def examine(places: Sequence[Place]) -> tuple[Check, ...]:
    """All checks of an objective at one or more places, each where it is worst."""
    rounds = []
    for place in places:
        # The first check is whether numbers are finite; if first derivatives are not, no other check makes sense.
        first, *others = examinations(place.free_energy.objective)
        rounds.append([first.of(place)] + [each.of(place) for each in others if place.exists])
    by_name: dict[str, Check] = {}
    for check in (check for found in rounds for check in found):
        known = by_name.get(check.name)
        by_name[check.name] = check if known is None or check.strain > known.strain else known
    return tuple(by_name.values())


def two_places(free_energy: FreeEnergy, start: State) -> tuple[Place, Place]:
    """θ₀, where a run begins before it equilibrates, and a place near it."""
    here = Place(free_energy, start)
    away = _AWAY * here.length * Place(free_energy, start, seed=1).directions(1)[0]
    return here, Place(free_energy, State(start.theta + away, start.controls), seed=2)


def diagnose(scenario: Scenario, folder: Path, device: str | None = None) -> Report:
    """Check the objective of a scenario as a run would evaluate it; raises UserError under torchrun."""
    built = build(scenario, folder, device)
    if built.team is not None:
        raise UserError("doctor: looks at the derivatives of one process; start it without torchrun")
    # A from some of the data (linearisation.curvature_data) is deliberately not the derivative of ∇J.
    free_energy = replace(built.problem.free_energy, work=Work(), curvature=None, curvature_share=1.0)
    start = built.problem.start
    checks = examine(two_places(free_energy, start))
    return Report(checks, measure(scenario, free_energy, start) if checks[0].passed else ())

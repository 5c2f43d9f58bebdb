"""Restoring what is held after a descent: Newton where it gets there, by hand half way at a time where it does not."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
import torch

from rdc_dyn.curvature.free_energy import FreeEnergy
from rdc_dyn.dynamics import Constraint, Correction, Departure, Integrator, IsoFunctional, Minimum, State
from rdc_dyn.dynamics.correctors.newton_krylov import NewtonKrylov
from rdc_dyn.linalg import Dense
from rdc_dyn.simulate import Point, Problem
from rdc_dyn.simulate import step as steps
from rdc_dyn.status import NumericalFailure, Status
from tests.problems import linear_gaussian, points_and_events, problem


def _start(iterations: int) -> tuple[Problem, Point]:
    """An equilibrium of a problem whose corrector takes so many steps at most."""
    run = problem(linear_gaussian(), IsoFunctional((0.0, 6.0)), 1.2, 1.5, Integrator("euler"), 0.1, solver=Dense())
    points, _ = points_and_events(dataclasses.replace(run, process=IsoFunctional((0.0, 0.1))))
    return dataclasses.replace(run, corrector=NewtonKrylov(Dense(), 1e-8, max_iterations=iterations)), points[0]


@pytest.mark.parametrize(("iterations", "by_hand"), [(12, False), (2, True)])
def test_what_is_held_is_restored_on_the_next_branch(
    iterations: int, by_hand: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long Euler step leaves the level set of C; two Newton steps do not find back over the whole distance."""
    run, point = _start(iterations)
    missing: list[float] = []
    nearer = steps._nearer

    def counted(problem: Problem, point: Point, minimum: Minimum, share: float) -> State:
        missing.append(abs(float(minimum.at.functionals[2] - point.held_values[0])))
        assert share == 0.5
        return nearer(problem, point, minimum, share)

    monkeypatch.setattr(steps, "_nearer", counted)
    new = steps.relax(run, point, 1.5)
    assert new.at.residual <= 1e-8 and new.response.before is None
    assert abs(float(new.at.functionals[2] - point.held_values[0])) <= 1e-10
    assert bool(missing) == by_hand
    # Half of the way at a time: what is missing falls by about half.
    ratios = [b / a for a, b in itertools.pairwise(missing)]
    assert all(0.2 < ratio < 0.8 for ratio in ratios), ratios
    assert torch.equal(new.at.controls[2], point.at.controls[2])


@dataclasses.dataclass(frozen=True)
class _MeetsAnEnd(NewtonKrylov):
    """Finds A indefinite on its way the first time."""

    states: list[State] = dataclasses.field(default_factory=list)

    def correct(
        self, free_energy: FreeEnergy, state: State, constraint: Constraint | None, departure: Departure | None = None
    ) -> Correction:
        self.states.append(state)
        if len(self.states) == 1:
            return Correction(state, None, 1, Status.INDEFINITE, "on the way")
        return super().correct(free_energy, state, constraint)


def test_an_end_on_the_way_back_is_crossed() -> None:
    """Half ways towards C = C⁰ would only come nearer to a fold in front of it: the multipliers go all the way."""
    run, point = _start(12)
    corrector = _MeetsAnEnd(Dense(), 1e-8)
    new = steps.relax(dataclasses.replace(run, corrector=corrector), point, 0.5)
    first, second = (abs(float(s.controls[0:2].sub(new.at.controls[0:2]).norm())) for s in corrector.states)
    assert second < 0.2 * first
    assert abs(float(new.at.functionals[2] - point.held_values[0])) <= 1e-10


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_the_way_back_takes_no_more_than_half_of_a_multiplier(share: float) -> None:
    """C rises as λ and γ fall; for 30 nat more the line along the surface leads far beyond zero."""
    run, point = _start(2)
    far = dataclasses.replace(point, held_values=point.held_values + 30.0)
    minimum = run.minimiser.minimise(run.free_energy, point.state, tolerance=1e-8)
    state = steps._nearer(run, far, minimum, share)
    left = state.controls[:2] / point.at.controls[:2]
    assert float(left.min()) == pytest.approx(0.5)
    assert float(state.theta.sub(minimum.at.theta).norm()) > 0


def test_a_goal_that_stays_out_of_reach_is_a_failure() -> None:
    run, point = _start(2)
    far = dataclasses.replace(point, held_values=point.held_values - 30.0)  # no loss is as low
    with pytest.raises(NumericalFailure) as caught:
        steps.relax(run, far, 0.5)
    assert caught.value.status in (Status.CORRECTOR_DIVERGED, Status.BOUND_REACHED, Status.NOT_AT_EQUILIBRIUM)

"""Folds, pitchforks and singular processes: seen by every integrator, bracketed, left as the scenario says."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from rdc_dyn.dynamics import GeodesicTransfer, Integrator, IsoFunctionalTransfer, Prescribed
from rdc_dyn.linalg import Dense
from rdc_dyn.objective import LinearGaussian
from rdc_dyn.record import Event
from tests.dynamics.test_transfer import pair
from tests.problems import ORDERS, Fold, closed_form, controls, linear_gaussian, points_and_events, problem

UP = Prescribed((0.0, 1.5), (0.0, 1.5), (1.0, 1.0))
DOWN = Prescribed((1.5, 0.0), (1.5, 0.0), (1.0, 1.0))


def bracket(end: Event) -> tuple[float, float]:
    """Where the run was stopped, in order of size."""
    low, high = sorted((end.values["stopped_after"], end.values["stopped_before"]))
    assert high - low <= 1e-4 * (1 + 1e-9)
    return low, high


# --- folds --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("corrector", [True, False])
@pytest.mark.parametrize("method", list(ORDERS))
def test_a_fold_is_never_stepped_over(method: str, corrector: bool) -> None:
    """λ = s reaches the fold at s = 1: nothing may be recorded beyond it.

    Without corrector the path is not on the surface, and its own fold lies where the integrator's error has put it.
    """
    run = problem(Fold(), UP, 0.0, 1.0, Integrator(method), 0.13, corrector=corrector, solver=Dense())
    points, events = points_and_events(run)
    assert events[-1].values["status"] == "FOLD"
    low, high = bracket(events[-1])
    assert points[-1].time == low
    assert all(float(point.at.theta[0]) > 0 for point in points)
    assert low > 0.9
    if corrector:
        assert low <= 1.0 <= high
        for point in points:
            assert float(point.at.theta[0]) == pytest.approx((1 - point.time) ** 0.5, abs=1e-6)


@pytest.mark.parametrize("method", list(ORDERS))
def test_a_fold_is_found_by_failing_steps_alone(method: str) -> None:
    """Without looking ahead, as for networks: the steps fail, and what fails is located as well."""
    run = problem(Fold(), UP, 0.0, 1.0, Integrator(method), 0.13, solver=Dense(), look_ahead=False)
    points, events = points_and_events(run)
    assert events[-1].values["status"] == "STEP_UNDERFLOW"
    low, high = bracket(events[-1])
    assert points[-1].time == low <= 1.0
    assert high >= 1.0 - 1e-3


def test_a_clock_that_runs_down_meets_folds_too() -> None:
    points, events = points_and_events(problem(Mirrored(), DOWN, 1.5, 1.0, Integrator("rk4"), 0.13, solver=Dense()))
    assert events[-1].values["status"] == "FOLD"
    low, high = bracket(events[-1])
    assert low <= 0.5 <= high
    assert points[-1].time == high


@dataclass(frozen=True)
class Mirrored(Fold):
    """The fold of the other direction: minima θ = √(λ − ½) for λ > ½."""

    def free_energy(self, theta: Tensor, lam: Tensor, gamma: Tensor, data_position: Tensor) -> Tensor:
        return super().free_energy(theta, 1.5 - lam, gamma, data_position)


@pytest.mark.parametrize("method", ["euler", "rk4", "dopri5"])
@pytest.mark.parametrize("look_ahead", [True, False])
def test_relax_goes_to_the_minimum_that_takes_over(method: str, look_ahead: bool) -> None:
    run = problem(
        Fold(beyond=True), UP, 0.0, 1.0, Integrator(method), 0.13, solver=Dense(), on_fold="relax",
        look_ahead=look_ahead,
    )  # fmt: skip
    points, events = points_and_events(run)
    assert events[-1].values["status"] == "COMPLETED"
    # Close to the fold it may relax within the branch first; the jump is what leaves it.
    relaxed = [e for e in events if e.kind == "relaxed" and e.values["jump_theta"] > 1.0]
    assert len(relaxed) == 1
    assert relaxed[0].values["jump_theta"] > 3.0
    assert 0.95 < relaxed[0].time < 1.05
    assert relaxed[0].values["jump_free_energy"] < 0
    before = [p for p in points if p.time < relaxed[0].time]
    after = [p for p in points if p.time >= relaxed[0].time]
    assert all(float(p.at.theta[0]) > 0 for p in before)
    assert all(float(p.at.theta[0]) < -3 for p in after)
    assert all(p.at.residual < 1e-9 for p in points)
    assert after[0].jump == relaxed[0].values
    assert not any(p.jump for p in after[1:])


@pytest.mark.parametrize("look_ahead", [True, False])
def test_a_run_that_cannot_relax_ends_with_the_fold_and_says_why(look_ahead: bool) -> None:
    run = problem(Fold(), UP, 0.0, 1.0, Integrator("rk4"), 0.13, solver=Dense(), on_fold="relax", look_ahead=look_ahead)
    points, events = points_and_events(run)
    assert events[-1].values["status"] == "FOLD"
    assert "relaxing to another branch failed: not at equilibrium (|grad J|" in events[-1].values["detail"]
    low, high = events[-1].values["stopped_after"], events[-1].values["stopped_before"]
    assert points[-1].time == low <= 1.0 <= high <= low + 0.13 / 4


@dataclass(frozen=True)
class BelowZero(Prescribed):
    """Goes up, but a prediction from a fold leads far below zero unless it is a short one."""

    def prescribed(self, s: float, like: Tensor) -> Tensor:
        there = super().prescribed(s, like)
        return there.new_tensor([-0.778, 1.0, 0.0]) if s > 1.005 and float(like[0]) > 0.9 else there


def test_a_relaxation_that_fails_is_tried_nearer_to_the_fold() -> None:
    up = BelowZero((0.0, 1.01), (0.0, 1.01), (1.0, 1.0))
    run = problem(Fold(beyond=True), up, 0.0, 1.0, Integrator("rk4"), 0.13, solver=Dense(), on_fold="relax")
    _, events = points_and_events(run)
    tried = [e for e in events if e.kind == "rejected" and "lam = -0.778" in e.text]
    relaxed = [e for e in events if e.kind == "relaxed" and e.values["jump_theta"] > 3.0]
    assert tried and len(relaxed) == 1, [e.text for e in events]
    assert 1.0 <= relaxed[0].time < 1.005


def test_relax_comes_before_the_end_however_long_the_smallest_step() -> None:
    run = problem(
        Fold(beyond=True), UP, 0.0, 1.0, Integrator("rk4"), 0.13, solver=Dense(), on_fold="relax", smallest=0.2,
        look_ahead=False,
    )  # fmt: skip
    points, events = points_and_events(run)
    assert events[-1].values["status"] == "COMPLETED"
    assert any(e.kind == "relaxed" for e in events)
    assert points[-1].time == 1.5


@dataclass(frozen=True)
class DoubleWell(Fold):
    """J = θ⁴/4 − θ²/2 + (λ − ½) θ: the right well ends where the tilt λ − ½ is 2/√27."""

    def free_energy(self, theta: Tensor, lam: Tensor, gamma: Tensor, data_position: Tensor) -> Tensor:
        x = theta[0]
        return x**4 / 4 - x**2 / 2 + (lam - 0.5) * x + 0.3 * gamma


@pytest.mark.parametrize("method", ["euler", "rk4", "bosh3"])
def test_relax_lands_on_the_right_minimum_of_a_double_well(method: str) -> None:
    run = problem(DoubleWell(), UP, 0.0, 1.0, Integrator(method), 0.1, solver=Dense(), on_fold="relax")
    points, events = points_and_events(run)
    assert events[-1].values["status"] == "COMPLETED"
    jumps = [e for e in events if e.kind == "relaxed" and e.values["jump_theta"] > 1.0]
    assert len(jumps) == 1
    fold = 0.5 + 2 / math.sqrt(27)
    assert fold - 0.02 < jumps[0].time < fold + 0.05
    for point in points:
        roots = np.roots([1.0, 0.0, -1.0, point.time - 0.5])
        real = np.sort(roots[abs(roots.imag) < 1e-6].real)
        expected = real[0] if point.time >= jumps[0].time else real[-1]
        assert float(point.at.theta[0]) == pytest.approx(expected, abs=1e-8)


# --- pitchforks ---------------------------------------------------------------------------------------------------

AWAY = Prescribed((0.0, 1.0), (1.0, 0.02), (1.0, 0.02))


def crossing(objective: LinearGaussian, path: Prescribed, number: int) -> float:
    """s at which ℓ_number = 1, by bisection of the closed form."""

    def excess(s: float) -> float:
        lam, gamma, t = path.prescribed(s, controls(0.0, 0.0)).tolist()
        scale = torch.cat(
            [
                torch.full((objective.x_dim,), (lam / objective.distortion_variance) ** 0.5).double(),
                torch.full((objective.y_dim,), (gamma / objective.label_variance) ** 0.5).double(),
            ]
        )
        moment = objective.second_moment(torch.tensor(t).double())
        return float(torch.linalg.eigvalsh(scale[:, None] * moment * scale).flip(0)[number] - 1)

    low, high = sorted(path.span)
    assert excess(low) * excess(high) < 0
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if excess(low) * excess(middle) > 0 else (low, middle)
    return low


@pytest.mark.parametrize(
    "method", ["rk4", *(pytest.param(m, marks=pytest.mark.slow) for m in ("euler", "bosh3", "dopri5", "dopri8"))]
)
@pytest.mark.parametrize(
    "path, number",
    [
        (AWAY, 1),  # the second code ceases to be used
        (Prescribed((1.0, 0.0), (1.0, 0.02), (1.0, 0.02)), 1),  # the same with a clock that runs down
        (Prescribed((0.0, 1.0), (0.02, 1.0), (0.02, 1.0)), 0),  # the first code begins to be used
        (Prescribed((0.0, 1.0), (0.05, 1.5), (0.08, 1.0)), 1),  # the second does
    ],
)
def test_a_pitchfork_is_bracketed(path: Prescribed, number: int, method: str) -> None:
    objective = linear_gaussian()
    run = problem(objective, path, path.lam[0], path.gamma[0], Integrator(method), 0.07)
    points, events = points_and_events(run)
    assert events[-1].values["status"] == "BRANCH_POINT"
    low, high = bracket(events[-1])
    assert low <= crossing(objective, path, number) <= high
    assert all(p.at.residual <= 1e-10 for p in points)


def test_relax_goes_on_beyond_a_pitchfork() -> None:
    """Where a code begins to be used, θ = 0 becomes a saddle; the minimum is the closed form's."""
    objective = linear_gaussian()
    path = Prescribed((0.0, 1.0), (0.05, 1.5), (0.08, 1.0))
    run = problem(objective, path, 0.05, 0.08, Integrator("rk4"), 0.1, on_fold="relax")
    points, events = points_and_events(run)
    assert events[-1].values["status"] == "COMPLETED"
    assert any(e.kind == "relaxed" for e in events)
    for point in points:
        assert point.at.value == pytest.approx(float(closed_form(objective, *point.at.controls)), abs=1e-9)


# --- singular processes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["euler", "rk4", "dopri5"])
def test_geodesic_that_reaches_the_slope_of_the_iso_classification_curve(method: str) -> None:
    """1 + kλ = 0 at λ = 1.25; near it λ̇ ~ 1/(1 + kλ)."""
    run = problem(pair((4, 2, 2)), GeodesicTransfer((0.0, 1.0), -0.8), 3.0, 4.0, Integrator(method), 0.1)
    points, events = points_and_events(run)
    assert events[-1].values["status"] == "SINGULAR_GEODESIC"
    bracket(events[-1])
    assert all(1 - 0.8 * p.state.lam < 0 for p in points)
    assert points[-1].state.lam == pytest.approx(1.25, abs=0.05)


def test_relax_does_not_hide_where_a_process_ends() -> None:
    """No minimum lies beyond a bound of a multiplier or a singular geodesic: both are located as without relaxing."""
    down = Prescribed((0.0, 1.0), (0.5, -0.5), (1.0, 1.0))
    run = problem(Fold(), down, 0.5, 1.0, Integrator("rk4"), 0.13, solver=Dense(), on_fold="relax")
    _, events = points_and_events(run)
    assert events[-1].values["status"] == "BOUND_REACHED"
    low, high = bracket(events[-1])
    assert low <= 0.5 <= high
    singular = problem(
        pair((4, 2, 2)), GeodesicTransfer((0.0, 1.0), -0.8), 3.0, 4.0, Integrator("rk4"), 0.1, on_fold="relax"
    )
    _, events = points_and_events(singular)
    assert events[-1].values["status"] == "SINGULAR_GEODESIC"
    bracket(events[-1])


def test_a_span_that_ends_before_the_fold_is_run_to_its_end() -> None:
    near = Prescribed((0.0, 0.99999), (0.0, 0.99999), (1.0, 1.0))
    points, events = points_and_events(problem(Fold(), near, 0.0, 1.0, Integrator("rk4"), 0.1, solver=Dense()))
    assert events[-1].values["status"] == "COMPLETED"
    assert float(points[-1].at.theta[0]) == pytest.approx(1e-5**0.5, rel=1e-4)


@dataclass(frozen=True)
class Pole(Fold):
    """J = θ²/2 − (0.6 − t) γ²/2 + tγ: C = t − (0.6 − t) γ, so that C_γ vanishes at t = 0.6, where γ has a pole."""

    moves: bool = True

    def free_energy(self, theta: Tensor, lam: Tensor, gamma: Tensor, data_position: Tensor) -> Tensor:
        return 0.5 * theta[0] ** 2 - 0.5 * (0.6 - data_position) * gamma**2 + data_position * gamma


@pytest.mark.parametrize("method", ["euler", "midpoint", "rk4", "dopri5"])
def test_held_functional_that_loses_its_multiplier(method: str) -> None:
    process = IsoFunctionalTransfer((0.0, 1.0), 0.0)
    run = problem(Pole(), process, 1.0, 1.0, Integrator(method), 0.07, solver=Dense())
    points, events = points_and_events(run)
    assert events[-1].values["status"] == "DEGENERATE_CONSTRAINT"
    low, high = bracket(events[-1])
    assert points[-1].time == low <= 0.6 <= high

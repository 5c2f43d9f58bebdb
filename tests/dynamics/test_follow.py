"""A branch followed through folds and pitchforks by pseudo-arclength."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from torch import Tensor

from rdc_dyn.dynamics import Integrator, IsoFunctional, Prescribed
from rdc_dyn.linalg import Dense
from tests.problems import Fold, closed_form, linear_gaussian, points_and_events, problem

UP = Prescribed((0.0, 1.5), (0.0, 1.5), (1.0, 1.0))


def test_follow_traces_both_branches_of_a_fold() -> None:
    """θ = √(1 − s) up to s = 1 and θ = −√(1 − s) back: time runs on while λ turns round."""
    run = problem(Fold(), UP, 0.0, 1.0, Integrator("rk4"), 0.1, solver=Dense(), on_fold="follow")
    points, events = points_and_events(run)
    assert events[-1].values["status"] == "COMPLETED"
    assert points[-1].time == 1.5
    times = [p.time for p in points]
    assert all(a < b for a, b in pairwise(times))
    for point in points:
        theta, lam = float(point.at.theta[0]), point.state.lam
        assert theta**2 == pytest.approx(1 - lam, abs=1e-9)
        if point.morse_index is not None:
            assert point.morse_index == (1 if theta < 0 else 0)
    # The steps next to the turning point cut it short by at most their own length.
    assert points[-1].state.lam == pytest.approx(0.5, abs=1e-2)
    assert float(points[-1].at.theta[0]) < -0.7
    passed = [e for e in events if e.kind == "fold"]
    assert len(passed) == 1
    assert len([e for e in events if e.kind == "turned"]) == 1
    assert passed[0].values["morse_index"] == 1
    assert passed[0].values["lam"] == pytest.approx(1.0, abs=1e-2)


@dataclass(frozen=True)
class Level(Fold):
    """J = θ³/3 − (1 − λ + γ) θ + γ²/2: at constant C = γ − θ = C₀ the path is λ = 1 + C₀ + θ − θ², γ = C₀ + θ."""

    def free_energy(self, theta: Tensor, lam: Tensor, gamma: Tensor, data_position: Tensor) -> Tensor:
        x = theta[0]
        return x**3 / 3 - (1 - lam + gamma) * x + gamma**2 / 2


def test_an_arclength_clock_passes_where_a_multiplier_turns_round_and_follow_passes_the_line_of_folds() -> None:
    """λ is largest at θ = ½, where A = 1: no singularity of the surface. At θ = 0 the path crosses the folds."""
    path = IsoFunctional((3.0, 0.0), (0.0, 0.0, 1.0), "multipliers")  # downwards: C_gamma > 0 here
    start = Level()
    run = problem(start, path, 2.0, 2.0, Integrator("rk4"), 0.1, solver=Dense(), on_fold="follow")
    points, events = points_and_events(run)
    level = points[0].state.gamma - float(points[0].at.theta[0])
    assert level == pytest.approx(2.0 - (1 + 2.0 - 2.0) ** 0.5)
    for point in points:
        theta = float(point.at.theta[0])
        assert point.state.lam == pytest.approx(1 + level + theta - theta**2, abs=1e-8)
        assert point.state.gamma == pytest.approx(level + theta, abs=1e-8)
    assert events[-1].values["status"] == "COMPLETED"
    lam = np.array([p.state.lam for p in points])
    turning = int(lam.argmax())
    assert 0 < turning < len(points) - 1
    assert float(points[turning].at.theta[0]) == pytest.approx(0.5, abs=0.1)
    thetas = [float(p.at.theta[0]) for p in points]
    assert min(thetas) < -0.3
    assert points[-1].morse_index == 1
    stop = problem(start, path, 2.0, 2.0, Integrator("rk4"), 0.1, solver=Dense())
    points, events = points_and_events(stop)
    assert events[-1].values["status"] == "BRANCH_POINT"
    assert 0 < float(points[-1].at.theta[0]) < 1e-3
    assert lam.max() - points[-1].state.lam > 0.2  # far beyond the turning point of λ


def test_follow_stays_on_the_unstable_branch_beyond_a_pitchfork() -> None:
    objective = linear_gaussian()
    path = Prescribed((0.0, 1.0), (0.05, 1.5), (0.08, 1.0))
    run = problem(objective, path, 0.05, 0.08, Integrator("rk4"), 0.1, on_fold="follow")
    points, events = points_and_events(run)
    assert events[-1].values["status"] == "COMPLETED"
    assert points[-1].morse_index is not None and points[-1].morse_index >= 1
    assert points[-1].at.value > float(closed_form(objective, *points[-1].at.controls)) + 1e-3
    assert points[-1].time == 1.0
    assert points[-1].state.lam == pytest.approx(1.5, abs=1e-9)

"""What goes wrong ends in a named status, in bounded time, with what was computed kept."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import pytest
import torch
from torch import Tensor

from rdc_dyn.curvature.free_energy import FreeEnergy
from rdc_dyn.curvature.linearisation import Work
from rdc_dyn.dynamics import (
    Integrator,
    IsoFunctional,
    Minimiser,
    NewtonKrylov,
    Prescribed,
    State,
    StepSize,
    linear_response,
)
from rdc_dyn.dynamics.correctors.base import Constraint, Departure
from rdc_dyn.linalg import (
    Dense,
    Factorised,
    Identity,
    LinearSolution,
    Nystrom,
    Preconditioner,
    Recipe,
    SymmetricOperator,
)
from rdc_dyn.objective import LinearGaussian
from rdc_dyn.status import Status
from tests.problems import ORDERS, Fold, controls, equilibrium, linear_gaussian, points_and_events, problem, trajectory

UP = Prescribed((0.0, 1.5), (0.0, 1.5), (1.0, 1.0))


@pytest.mark.parametrize("corrector", [True, False])
@pytest.mark.parametrize("method", list(ORDERS))
def test_nan_is_a_status_and_is_never_kept(method: str, corrector: bool) -> None:
    run = problem(Fold(poison=0.5), UP, 0.0, 1.0, Integrator(method), 0.13, corrector=corrector, solver=Dense())
    points, events = points_and_events(run)
    assert events[-1].values["status"] == "NON_FINITE"
    assert points[-1].time <= 0.5
    assert all(p.state.finite for p in points)


def test_nan_at_the_start() -> None:
    _, events = points_and_events(problem(Fold(poison=-1.0), UP, 0.0, 1.0, Integrator("rk4"), 0.1, solver=Dense()))
    assert [e.values["status"] for e in events] == ["NON_FINITE"]


@pytest.mark.slow
def test_nan_ends_under_python_without_assertions() -> None:
    """torchdiffeq's own checks are assertions; -O removes them, and a NaN field would loop for ever."""
    root = Path(__file__).resolve().parents[2]
    code = (
        "from tests.dynamics.test_failures import *\n"
        "for method in ORDERS:\n"
        "    for rtol in (None, 1e-6):\n"
        "        integrator = Integrator(method, rtol, rtol)\n"
        "        for objective in (Fold(poison=0.5), Fold()):\n"
        "            run = problem(objective, UP, 0.0, 1.0, integrator, 0.13, corrector=False, solver=Dense())\n"
        "            print(points_and_events(run)[1][-1].values['status'])\n"
    )
    out = subprocess.run([sys.executable, "-O", "-c", code], cwd=root, capture_output=True, text=True, timeout=300)
    assert out.returncode == 0, out.stderr
    assert out.stdout.split() == ["NON_FINITE", "FOLD"] * (2 * len(ORDERS))


def test_an_unreachable_equilibrium_starts_nothing() -> None:
    """J falls without bound: no minimum, no record."""
    run = problem(Fold(), UP, 1.5, 1.0, Integrator("rk4"), 0.1, solver=Dense())
    run = replace(run, minimiser=replace(run.minimiser, max_steps=30))
    points, events = points_and_events(run)
    assert points == []
    assert events[-1].values["status"] in ("NOT_AT_EQUILIBRIUM", "NON_FINITE")


def test_bound_of_a_multiplier() -> None:
    process = Prescribed((0.0, 1.0), (0.5, -0.5), (1.0, 1.0))
    points, events = points_and_events(problem(Fold(), process, 0.5, 1.0, Integrator("rk4"), 0.13, solver=Dense()))
    assert events[-1].values["status"] == "BOUND_REACHED"
    assert points[-1].state.lam >= 0
    assert points[-1].time == pytest.approx(0.5, abs=1e-4)
    assert events[-1].values["stopped_after"] <= 0.5 <= events[-1].values["stopped_before"]


def test_held_functional_that_nothing_moves() -> None:
    """C = 0.3 whatever λ and γ are: the process has no direction."""
    run = problem(Fold(), IsoFunctional((0.0, 1.0)), 0.2, 1.0, Integrator("rk4"), 0.1, solver=Dense())
    points, events = points_and_events(run)
    assert events[-1].values["status"] == "DEGENERATE_CONSTRAINT"
    assert len(points) == 1


def test_evaluation_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rdc_dyn.dynamics.integrator.MAX_EVALUATIONS", 3)
    run = problem(linear_gaussian(), IsoFunctional((0.0, 1.0)), 2.0, 3.0, Integrator("rk4"), 0.5, smallest=0.3)
    _, events = points_and_events(run)
    assert [e.values["status"] for e in events if e.kind == "rejected"] == ["EVALUATION_LIMIT"] * 2
    assert events[-1].values["status"] == "STEP_UNDERFLOW"


def test_a_rejected_step_is_halved_and_grows_again() -> None:
    size = StepSize(0.4, 0.05)
    assert size.rejected(0.4).rejected(0.2).value == pytest.approx(0.1)
    assert size.rejected(0.4).rejected(0.2).accepted().value == pytest.approx(0.2)
    assert size.rejected(0.4).accepted().accepted().value == pytest.approx(0.4)
    assert not size.rejected(0.4).rejected(0.2).rejected(0.1).exhausted
    assert size.rejected(0.4).rejected(0.2).rejected(0.1).rejected(0.05).exhausted


def test_steps_come_back_to_the_grid_and_end_on_the_end() -> None:
    size = StepSize(0.25)
    assert size.target(0.0, (0.0, 1.0)) == 0.25
    assert size.target(0.0, (0.0, 1.0), reach=0.1) == pytest.approx(0.1)
    assert size.target(0.1, (0.0, 1.0)) == pytest.approx(0.25)
    assert size.target(0.9, (0.0, 1.0)) == 1.0
    assert size.target(0.5, (1.0, 0.0)) == pytest.approx(0.25)
    assert size.target(0.1, (1.0, 0.0)) == 0.0


def test_a_failed_correction_is_rejected_not_kept() -> None:
    """Euler with giant steps: whatever is recorded is on the surface."""
    run = problem(linear_gaussian(), IsoFunctional((0.0, 6.0)), 1.2, 1.5, Integrator("euler"), 6.0)
    points, events = points_and_events(run)
    assert any(e.kind == "rejected" for e in events)
    assert all(p.at.residual <= 1e-10 for p in points)
    assert all(abs(float(p.at.functionals[2]) - float(p.held_values[0])) <= 1e-10 for p in points)


def test_newton_does_not_contract_far_away() -> None:
    objective = linear_gaussian()
    free_energy = FreeEnergy(objective, Work())
    far = State(objective.initial(torch.Generator().manual_seed(9)) * 20, controls(2.0, 3.0))
    correction = NewtonKrylov(Dense(), 1e-10).correct(free_energy, far, None)
    assert correction.failure in (Status.CORRECTOR_DIVERGED, Status.INDEFINITE)
    assert correction.state is far


def test_newton_is_quadratic_and_idempotent() -> None:
    objective = linear_gaussian()
    at = equilibrium(objective, controls(2.0, 3.0))
    free_energy = FreeEnergy(objective, Work())
    residuals = []
    theta = at.theta + 1e-2 * torch.randn(at.size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for _ in range(4):
        residuals.append(free_energy.linearise(theta, at.controls).residual)
        step = NewtonKrylov(Dense(), 1e-30, max_iterations=1).correct(free_energy, State(theta, at.controls), None)
        assert step.failure is Status.CORRECTOR_DIVERGED  # one step does not reach 1e-30
        theta = (
            NewtonKrylov(Dense(), 1e-30)
            ._newton(free_energy, free_energy.linearise(theta, at.controls), None, None, 1e-12)
            .theta
        )
    assert residuals[1] < residuals[0] ** 1.5
    assert residuals[2] < residuals[1] ** 1.5
    there = NewtonKrylov(Dense(), 1e-9).correct(free_energy, State(at.theta, at.controls), None)
    assert there.iterations == 0
    assert torch.equal(there.state.theta, at.theta)


def test_hold_constraint_moves_along_the_given_direction() -> None:
    objective = linear_gaussian()
    at = equilibrium(objective, controls(2.0, 3.0))
    direction = torch.tensor([[0.6, 0.8, 0.0]], dtype=torch.float64)
    weights = torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float64)
    goal = at.functionals[2:] + 0.05
    corrector = NewtonKrylov(Dense(), 1e-10)
    done = corrector.correct(FreeEnergy(objective, Work()), at_state(at), Constraint(weights, goal, direction))
    assert done.failure is None and done.at is not None
    assert float(done.at.functionals[2]) == pytest.approx(float(goal), abs=1e-10)
    shift = done.state.controls - at.controls
    assert float((shift - (shift @ direction[0]) * direction[0]).norm()) < 1e-12
    assert float(shift.norm()) > 1e-3


def at_state(at: object) -> State:
    return State(at.theta, at.controls)  # type: ignore[attr-defined]


@dataclass
class _Counting:
    """A dense solver that counts right-hand sides."""

    solved: int = 0

    def solve(
        self, operator: SymmetricOperator, rhs: Tensor, *, rtol: float | None = None, start: Tensor | None = None
    ) -> LinearSolution:
        self.solved += len(rhs)
        return Dense().solve(operator, rhs)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_known_border_saves_solves_and_a_wrong_one_is_replaced(sign: float) -> None:
    """One solve for each Newton step with the border of a near point; one of the wrong sign costs, not misleads."""
    objective = linear_gaussian()
    at = equilibrium(objective, controls(2.0, 3.0))
    response = linear_response(at, Dense(), 0.0)
    directions = torch.tensor([[0.6, 0.8, 0.0]], dtype=torch.float64)
    weights = torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float64)
    constraint = Constraint(weights, at.functionals[2:] + 1e-3, directions)
    counting, departure = _Counting(), Departure(at, None, {}, expected=sign * response.directions)
    done = NewtonKrylov(counting, 1e-10).correct(FreeEnergy(objective, Work()), at_state(at), constraint, departure)
    assert done.failure is None and done.at is not None
    assert float(constraint.residual(done.at).abs().max()) <= 1e-10
    assert (counting.solved == done.iterations) == (sign > 0)


@pytest.mark.parametrize("accept", ["proved", "searched"])
@pytest.mark.parametrize("recipe", [Factorised(), Nystrom(4), Identity()], ids=["factor", "nystrom", "none"])
def test_minimiser_leaves_a_saddle(recipe: Recipe, accept: Literal["proved", "searched"]) -> None:
    """θ = 0 is a stationary point of the linear-Gaussian J and no minimum: seen by a factor, else by a search."""
    objective: LinearGaussian = linear_gaussian()
    free_energy = FreeEnergy(objective, Work())
    origin = State(torch.zeros(objective.size, dtype=torch.float64), controls(3.0, 4.0))
    assert free_energy.linearise(origin.theta, origin.controls).residual == 0.0
    minimiser = Minimiser(Preconditioner(recipe), 1e-10)
    assert minimiser.minimise(free_energy, origin, accept="stationary").steps == 0
    minimum = minimiser.minimise(free_energy, origin, accept=accept)
    assert minimum.failure is None
    best = equilibrium(objective, controls(3.0, 4.0))
    assert minimum.at.value == pytest.approx(best.value, rel=1e-10)


@pytest.mark.parametrize(
    ("accept", "patience", "builds"), [("proved", 1e3, 2), ("searched", 1e3, 1), ("searched", 1e-3, 2)]
)
def test_a_descent_on_a_path_builds_a_factor_only_where_that_is_no_dearer_than_a_search(
    accept: Literal["proved", "searched"], patience: float, builds: int
) -> None:
    objective: LinearGaussian = linear_gaussian()
    free_energy, factor = FreeEnergy(objective, Work()), Preconditioner(Factorised(), patience=patience)
    start = equilibrium(objective, controls(3.0, 4.0))
    factor.prepare(start)
    there = State(start.theta, controls(3.03, 4.0))
    assert Minimiser(factor, 1e-8).minimise(free_energy, there, accept=accept).failure is None
    assert factor.builds == builds


def test_minimiser_never_returns_a_worse_point() -> None:
    objective = linear_gaussian()
    free_energy = FreeEnergy(objective, Work())
    start = State(objective.initial(torch.Generator().manual_seed(3)) * 5, controls(3.0, 4.0))
    first = free_energy.value(start.theta, start.controls)
    for steps in (1, 2, 5):
        minimum = Minimiser(Preconditioner(Factorised()), 1e-12, max_steps=steps).minimise(free_energy, start)
        assert minimum.failure is Status.NOT_AT_EQUILIBRIUM
        assert minimum.at.value <= first


def test_trajectory_helper_reports_the_status() -> None:
    records, status = trajectory(
        problem(linear_gaussian(), IsoFunctional((0.0, 0.2)), 2.0, 3.0, Integrator("rk4"), 0.1)
    )
    assert (len(records), status) == (3, "COMPLETED")

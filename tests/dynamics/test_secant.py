"""M from the path's own history: it converges along the path, and a pull of the vector field holds C."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Literal

import pytest
import torch

from rdc_dyn.curvature.free_energy import FreeEnergy
from rdc_dyn.curvature.linearisation import Work
from rdc_dyn.dynamics import (
    Gradient,
    Integrator,
    IsoFunctional,
    IsoFunctionalTransfer,
    Known,
    LinearResponse,
    NewtonKrylov,
    Prescribed,
    Secant,
    State,
    StepSize,
    linear_response,
)
from rdc_dyn.dynamics.responses.base import free_energy_hessian
from rdc_dyn.linalg import Dense
from rdc_dyn.objective import LinearGaussian
from rdc_dyn.simulate import Point, Problem
from tests.problems import (
    amortised,
    closed_form_hessian,
    controls,
    digits,
    equilibrium,
    generator,
    linear_gaussian,
    points_and_events,
    problem,
)


def run_secant(step: float, *, corrector: str = "newton", first: bool = False, span: float = 1.6) -> list[Point]:
    """Iso-C of the linear-Gaussian problem by Euler, with short first steps as a scenario begins."""
    run = problem(
        linear_gaussian(), IsoFunctional((0.0, span)), 1.2, 1.5, Integrator("euler"), step, look_ahead=False,
        baumgarte=1 / step if corrector == "newton" else 0.0,
    )  # fmt: skip
    run = replace(
        run,
        response=Secant(LinearResponse(Dense()) if first else None),
        corrector=NewtonKrylov(Dense(), 1e-10, holds_constraint=corrector == "bordered"),
        step_size=StepSize(step, 1e-4, step / 8),
    )
    return completed(run)


def completed(run: Problem) -> list[Point]:
    points, events = points_and_events(run)
    assert [e.kind for e in events] == ["end"] and events[-1].values["status"] == "COMPLETED", events
    return points


def drift(points: list[Point]) -> list[float]:
    return [abs(float(p.at.functionals[2] - points[0].at.functionals[2])) for p in points]


def error_along_the_path(objective: LinearGaussian, run: Problem, point: Point) -> float:
    """|(Hess F − exact) ċ| / |exact ċ| for the rows of D and C."""
    _, exact = closed_form_hessian(objective, point.at.controls)
    rates = run.process.rates(point.time, point.here)
    found = point.response.matrix[1:] @ rates
    return float((found - exact[:2] @ rates).norm() / (exact[:2] @ rates).norm())


def test_the_last_step_is_reproduced_and_the_block_stays_symmetric() -> None:
    points = run_secant(0.1)
    for before, after in itertools.pairwise(points):
        step = after.at.controls - before.at.controls
        hessian = free_energy_hessian(after.response)
        torch.testing.assert_close(hessian @ step, after.at.forces - before.at.forces, rtol=0, atol=1e-12)
        torch.testing.assert_close(step @ after.response.directions, after.at.theta - before.at.theta)
        torch.testing.assert_close(hessian, hessian.T, rtol=0, atol=1e-12)
        assert float(torch.linalg.eigvalsh(hessian[:2, :2]).max()) < 0


def test_m_converges_along_the_path() -> None:
    """The error of M along the path falls with the step: 0.076, 0.013, 0.006 for steps of 0.1, 0.05, 0.025."""
    objective = linear_gaussian()
    errors = []
    for step in (0.1, 0.05, 0.025):
        points = run_secant(step)
        run = problem(objective, IsoFunctional((0.0, 1.6)), 1.2, 1.5, Integrator("euler"), step)
        errors.append(error_along_the_path(objective, run, points[-1]))
    assert errors[0] < 0.1
    assert errors[1] < 0.6 * errors[0] and errors[2] < 0.6 * errors[1]


def test_m_as_a_whole_stays_near_what_one_solve_knew() -> None:
    """From an exact start nothing excites M across the path, and it is still within a tenth at the end."""
    last = run_secant(0.05, first=True)[-1]
    exact = linear_response(last.at, Dense(), 0.0).matrix[:, :2]
    assert float((last.response.matrix[:, :2] - exact).norm()) < 0.1 * float(exact.norm())


def test_the_pull_holds_c_to_a_bound_that_scales_with_the_step() -> None:
    """While the first steps explore the drift is of first order in the step, later of second order."""
    worst, late = [], []
    for step in (0.1, 0.05, 0.025):
        deviations = drift(run_secant(step))
        worst.append(max(deviations))
        late.append(deviations[-1])
    assert worst[0] < 1e-2
    assert worst[1] < 0.6 * worst[0] and worst[2] < 0.6 * worst[1]
    assert late[1] < 0.35 * late[0] and late[2] < 0.35 * late[1]


def test_one_solve_at_the_start_saves_the_exploring() -> None:
    assert max(drift(run_secant(0.05, first=True))) < 0.3 * max(drift(run_secant(0.05)))


def test_the_bordered_corrector_holds_c_with_secants_too() -> None:
    points = run_secant(0.1, corrector="bordered")
    assert max(drift(points)) <= 1e-10


def test_no_solve_and_no_run_besides_the_path() -> None:
    """An update looks at J nowhere; the first response takes b, which the guess needs."""
    objective = linear_gaussian()
    free_energy = FreeEnergy(objective, Work())
    at = free_energy.linearise(equilibrium(objective, controls(1.2, 1.5)).theta, controls(1.2, 1.5))
    first = Secant().at_point(free_energy, at, None)
    there = free_energy.linearise(at.theta + 1e-3, controls(1.3, 1.5))
    before = replace(free_energy.work)
    assert (before.gradient_evaluations, before.hessian_vector_products, before.krylov_iterations) == (2, 3, 0)
    known = Known(State(at.theta, at.controls), first)
    Secant().at_point(free_energy, there, known)
    Secant().at_stage(free_energy, State(at.theta, there.controls), known)
    assert free_energy.work == before


def test_noise_does_not_turn_the_path_round() -> None:
    """However C and D change from step to step, the (λ, γ) block stays negative definite."""
    objective = linear_gaussian()
    free_energy = FreeEnergy(objective, Work())
    at = free_energy.linearise(equilibrium(objective, controls(1.2, 1.5)).theta, controls(1.2, 1.5))
    response, noise = Secant().at_point(free_energy, at, None), generator(1)
    for _ in range(30):
        state = State(at.theta, at.controls)
        c = at.controls + 0.01 * torch.randn(3, generator=noise, dtype=torch.float64) * controls(1.0, 1.0)
        there = free_energy.linearise(at.theta + 0.3 * torch.randn(at.size, generator=noise, dtype=torch.float64), c)
        response, at = Secant().at_point(free_energy, there, Known(state, response)), there
        assert float(torch.linalg.eigvalsh(response.matrix[1:, :2]).max()) < 0


@pytest.mark.parametrize("path", ["mixture", "optimal_transport"])
def test_transfer_with_secants_learns_the_column_of_the_data(path: Literal["mixture", "optimal_transport"]) -> None:
    """(32) over moving data: C is held, and M's column of t with the others gives the change along the path."""
    far = linear_gaussian()
    assert far.target is not None
    objective = replace(far, target=0.75 * far.source + 0.25 * far.target, path=path)
    late, errors = [], []
    for step in (0.1, 0.05):
        run = problem(
            objective, IsoFunctionalTransfer((0.0, 1.0), 0.2), 2.0, 3.0, Integrator("euler"), step,
            look_ahead=False, baumgarte=1 / step,
        )  # fmt: skip
        run = replace(
            run, response=Secant(), corrector=NewtonKrylov(Dense(), 1e-10, holds_constraint=False),
            step_size=StepSize(step, 1e-4, step / 8),
        )  # fmt: skip
        points = completed(run)
        assert points[-1].state.data_position == pytest.approx(1.0)
        late.append(drift(points)[-1])
        exact = linear_response(points[-1].at, Dense(), 0.0).matrix
        rates = run.process.rates(1.0, points[-1].here)
        errors.append(float(((points[-1].response.matrix - exact) @ rates).norm() / exact.norm()))
    assert errors[0] < 0.05 and errors[1] < 0.6 * errors[0]
    assert late[0] < 5e-3 and late[1] < 0.6 * late[0]


def test_a_prescribed_path_needs_no_start() -> None:
    process = Prescribed((0.0, 1.0), (1.2, 1.8), (1.5, 2.5))
    run = problem(linear_gaussian(), process, 1.2, 1.5, Integrator("euler"), 0.05, look_ahead=False)
    points = completed(replace(run, response=Secant()))
    exact = linear_response(points[-1].at, Dense(), 0.0).matrix
    step = points[-1].at.controls - points[-2].at.controls
    assert float(((points[-1].response.matrix - exact) @ step).norm()) < 0.03 * float((exact @ step).norm())


@pytest.mark.slow
def test_a_small_vae_by_secants_and_adam() -> None:
    """120 digits, 914 parameters, a start that Adam alone prepared to |∇J| = 8e-3: C = 0.466 drifts by 0.004."""
    objective = amortised(digits(120), hidden=6)
    run = problem(
        objective, IsoFunctional((0.0, 0.5)), 0.5, 4.0, Integrator("euler"), 0.05, look_ahead=False, baumgarte=20.0,
        adam_steps=2500,
    )  # fmt: skip
    run = replace(
        run,
        response=Secant(predictor=False),
        corrector=Gradient(100),
        minimiser=replace(run.minimiser, max_steps=0, tolerance=0.05),
    )
    points = completed(run)
    assert points[0].at.residual <= 0.05
    assert max(drift(points)) < 0.02 * float(points[0].at.functionals[2])
    assert drift(points)[-1] < 0.005 * float(points[0].at.functionals[2])
    assert points[-1].state.lam > 0.8
    assert float(points[-1].at.functionals[1]) < float(points[0].at.functionals[1])

"""The paper's equilibration schedule, and the correctors on a run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from rdc_dyn.curvature.free_energy import FreeEnergy
from rdc_dyn.curvature.linearisation import Work
from rdc_dyn.dynamics import Constraint, Gradient, Integrator, IsoFunctional, Minimiser, NewtonKrylov, State
from rdc_dyn.dynamics.correctors.gradient import Adam, schedule
from rdc_dyn.linalg import ConjugateGradient, Dense, Factorised, Preconditioner
from rdc_dyn.simulate.step import advance
from rdc_dyn.status import Status
from tests.problems import (
    amortised,
    blobs,
    controls,
    equilibrium,
    first_point,
    generator,
    linear_gaussian,
    problem,
    trajectory,
)


def test_schedule_has_the_paper_s_shape() -> None:
    """η ∝ u²(1−u)⁵: zero at both ends, the peak 1.5e-3 at u = 2/7, and the ratio of any two values."""
    steps = 700
    eta = [schedule(k, steps, 1.5e-3) for k in range(steps + 1)]
    assert eta[0] == eta[-1] == 0.0
    assert max(eta) == pytest.approx(1.5e-3, rel=1e-12)
    assert eta.index(max(eta)) == 200
    assert eta[350] / eta[70] == pytest.approx((0.5**2 * 0.5**5) / (0.1**2 * 0.9**5))


def test_gradient_equilibrates_and_leaves_the_controls_alone() -> None:
    objective = linear_gaussian()
    best = equilibrium(objective, controls(2.0, 3.0))
    g = torch.Generator().manual_seed(0)
    start = State(best.theta + 0.02 * torch.randn(best.size, generator=g, dtype=torch.float64), best.controls)
    work = Work()
    free_energy = FreeEnergy(objective, work)
    before = free_energy.linearise(start.theta, start.controls)
    done = Gradient(400, 5e-3).correct(free_energy, start, None)
    assert done.failure is None and done.at is not None
    assert done.at.residual < 0.05 * before.residual
    assert best.value <= done.at.value < before.value
    assert torch.equal(done.state.controls, start.controls)
    assert work.gradient_evaluations == 400 + 2
    assert work.hessian_vector_products == 0


def test_gradient_that_climbs_is_a_failure() -> None:
    objective = linear_gaussian()
    best = equilibrium(objective, controls(2.0, 3.0))
    done = Gradient(5, 50.0).correct(FreeEnergy(objective, Work()), State(best.theta, best.controls), None)
    assert done.failure is Status.CORRECTOR_DIVERGED
    assert torch.equal(done.state.theta, best.theta)


@pytest.mark.slow
def test_what_each_corrector_buys() -> None:
    """Euler, sixteen steps: the drift of C without corrector, at fixed (λ, γ), and bordered."""
    drifts, residuals = {}, {}
    for name, corrector in (
        ("none", None),
        ("newton", NewtonKrylov(Dense(), 1e-10, holds_constraint=False)),
        ("bordered", NewtonKrylov(Dense(), 1e-10)),
    ):
        run = problem(linear_gaussian(), IsoFunctional((0.0, 1.6)), 1.2, 1.5, Integrator("euler"), 0.1, corrector=False)
        run = run if corrector is None else replace(run, corrector=corrector)
        records, status = trajectory(run)
        assert status == "COMPLETED"
        drifts[name] = max(abs(r.values["constraint_residual"]) for r in records)
        residuals[name] = max(r.values["equilibrium_residual"] for r in records)
    assert residuals["none"] > 1e-4 and residuals["newton"] <= 1e-10
    # On the surface but off the level set: equilibrium alone does not hold C.
    assert drifts["newton"] > 1e-5
    assert drifts["bordered"] <= 1e-10


@pytest.mark.parametrize("off", [2e-2, pytest.param(3e-2, marks=pytest.mark.slow)])
def test_what_loose_solves_leave_of_c_is_solved_away(off: float) -> None:
    """|∇J| far below its tolerance asks for loose solves, by which alone C comes to 2e-8 of its value, not to 1e-10."""
    objective = amortised(blobs())
    free_energy = FreeEnergy(objective, Work())
    minimiser = Minimiser(Preconditioner(Factorised(), 50), 1e-11)
    at = minimiser.minimise(free_energy, State(objective.initial(generator()), controls(0.5, 2.0))).at
    weights, directions = torch.eye(3, dtype=torch.float64)[2:], torch.eye(3, dtype=torch.float64)[1:2]
    constraint = Constraint(weights, at.functionals[2:] + off, directions, None)
    corrector = NewtonKrylov(ConjugateGradient(1e-2, 2000, 0.0, Preconditioner(None, 0)), 1e-2)
    done = corrector.correct(free_energy, State(at.theta, at.controls), constraint)
    assert done.failure is None and done.at is not None
    assert float(constraint.residual(done.at).abs().max()) <= 1e-10


def test_the_response_is_expected_to_second_order_whatever_the_steps() -> None:
    """θ_c drawn on in a straight line misses by O(h²), θ_c of the last point by O(h); steps of h and then of h/2."""
    run = problem(linear_gaussian(), IsoFunctional((0.0, 1.0)), 1.2, 1.5, Integrator("euler"), 0.1)
    misses = []
    for h in (0.08, 0.04, 0.02):
        first = first_point(run)
        second = advance(run, first, h)
        third = advance(run, second, 1.5 * h)
        known = second.towards(1.5 * h)
        assert known.expected is not None
        misses.append(
            [float((d - third.response.directions).norm()) for d in (known.expected, known.response.directions)]
        )
    drawn_on, kept = np.log2(np.array(misses[:-1]) / np.array(misses[1:])).T
    assert drawn_on == pytest.approx([2, 2], abs=0.3)
    assert kept == pytest.approx([1, 1], abs=0.3)


def test_the_paper_s_recipe_runs_end_to_end() -> None:
    run = problem(linear_gaussian(), IsoFunctional((0.0, 0.4)), 2.0, 3.0, Integrator("euler"), 0.1, corrector=False)
    records, status = trajectory(replace(run, corrector=Gradient(100)))
    assert status == "COMPLETED"
    cost = {name: records[-1].values[name] - records[0].values[name] for name in records[0].values}
    assert cost["corrector_iterations"] == 400
    assert cost["gradient_evaluations"] >= 400
    assert max(abs(r.values["constraint_residual"]) for r in records) < 1e-2


def test_adam_is_torchs_to_the_last_bit() -> None:
    start = torch.randn(7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ours, theirs = start.clone(), start.clone()
    adam, reference = Adam(ours), torch.optim.Adam([theirs], lr=1.0)
    for step in range(20):
        rate = 0.1 / (1 + step)
        adam.step(torch.sin(3 * ours) + ours, rate)
        theirs.grad = torch.sin(3 * theirs) + theirs
        reference.param_groups[0]["lr"] = rate
        reference.step()
        assert torch.equal(ours, theirs)

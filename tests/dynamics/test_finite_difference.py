"""M by equilibrating again nearby (31): first order in δ, and all of it counted."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from rdc_dyn.curvature.free_energy import FreeEnergy
from rdc_dyn.curvature.linearisation import Work
from rdc_dyn.dynamics import (
    Correction,
    Corrector,
    FiniteDifference,
    Gradient,
    Integrator,
    IsoFunctional,
    IsoFunctionalTransfer,
    NewtonKrylov,
    linear_response,
)
from rdc_dyn.linalg import Dense
from rdc_dyn.running.build import build
from rdc_dyn.scenario import from_mapping
from rdc_dyn.status import NumericalFailure, Status
from tests import tiny
from tests.problems import (
    amortised,
    blobs,
    closed_form_hessian,
    controls,
    equilibrium,
    generator,
    linear_gaussian,
    points_and_events,
    problem,
)

NEWTON = NewtonKrylov(Dense(), 1e-12, holds_constraint=False)


def differenced(delta: float, at: Tensor, *, predictor: bool = False) -> tuple[Tensor, Tensor, float]:
    """(M, θ_c, ∂²F/∂t²) by differences."""
    objective = linear_gaussian()
    free_energy = FreeEnergy(objective, Work())
    point = free_energy.linearise(equilibrium(objective, at).theta, at)
    found = FiniteDifference(NEWTON, (delta, delta, delta), predictor).at_point(free_energy, point, None)
    return found.matrix, found.directions, found.data_curvature


def test_each_control_has_its_own_delta() -> None:
    """Columns of M with δ = (1e-2, 1e-3, 1e-4) are those with each δ alone."""
    at = controls(2.0, 3.0, 0.3)
    deltas = (1e-2, 1e-3, 1e-4)
    objective = linear_gaussian()
    free_energy = FreeEnergy(objective, Work())
    point = free_energy.linearise(equilibrium(objective, at).theta, at)
    mixed = FiniteDifference(NEWTON, deltas).at_point(free_energy, point, None).matrix
    for column, delta in enumerate(deltas):
        torch.testing.assert_close(mixed[:, column], differenced(delta, at)[0][:, column], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("keys", "shifts"), [({}, (0.1, 0.1, 0.1)), ({"delta_gamma": 2.0}, (0.1, 2.0, 0.1))])
def test_the_scenario_gives_each_delta(keys: dict[str, float], shifts: tuple[float, float, float]) -> None:
    tree = tiny.linear_gaussian() | {"response": {"kind": "finite_difference", "delta": 0.1, **keys}}
    model = build(from_mapping(tree), Path()).problem.response
    assert isinstance(model, FiniteDifference) and model.delta == shifts


@pytest.mark.parametrize("t", [0.3, 1.0])
def test_half_the_delta_is_half_the_error(t: float) -> None:
    """Against the closed form, all three columns; at t = 1 the difference in t goes backwards."""
    at = controls(2.0, 3.0, t)
    _, exact = closed_form_hessian(linear_gaussian(), at)
    errors = []
    for delta in (0.01, 0.005, 0.0025):
        matrix, _, curvature = differenced(delta, at)
        errors.append(torch.cat([(matrix[1:] - exact[:2]).norm(dim=0), (exact[2, 2] - curvature).abs()[None]]))
    for coarse, fine in itertools.pairwise(errors):
        torch.testing.assert_close(coarse / fine, torch.full_like(coarse, 2.0), rtol=0.05, atol=0)
    assert float(errors[-1].max()) < 0.02 * float(exact.norm())


def test_theta_is_differenced_only_where_a_predictor_is_wanted() -> None:
    at = controls(2.0, 3.0)
    exact = linear_response(equilibrium(linear_gaussian(), at), Dense(), 0.0)
    _, directions, _ = differenced(1e-4, at)
    assert not bool(directions.any())
    _, directions, _ = differenced(1e-4, at, predictor=True)
    assert float((directions - exact.directions).norm()) < 1e-3 * float(exact.directions.norm())


def test_what_it_costs_is_counted() -> None:
    """Two Adam equilibrations of K steps, each with a gradient at its end."""
    objective = linear_gaussian()
    objective = replace(objective, target=None)
    free_energy = FreeEnergy(objective, Work())
    point = free_energy.linearise(equilibrium(objective, controls(2.0, 3.0)).theta, controls(2.0, 3.0))
    FiniteDifference(Gradient(40)).at_point(free_energy, point, None)
    assert free_energy.work.gradient_evaluations == 1 + 2 * (40 + 1)
    assert free_energy.work.corrector_iterations == 80
    assert free_energy.work.hessian_vector_products == free_energy.work.krylov_iterations == 0


class Failing(Corrector):
    """A corrector that never arrives."""

    tolerance = 1e-8

    def correct(
        self, free_energy: FreeEnergy, state: object, constraint: object, departure: object = None
    ) -> Correction:
        return Correction(state, None, 3, Status.CORRECTOR_DIVERGED, "no")  # type: ignore[arg-type]


def test_an_equilibration_that_fails_is_the_failure_of_the_step() -> None:
    objective = linear_gaussian()
    free_energy = FreeEnergy(objective, Work())
    point = free_energy.linearise(equilibrium(objective, controls(2.0, 3.0)).theta, controls(2.0, 3.0))
    with pytest.raises(NumericalFailure, match=r"at lam \+0.01: no") as failed:
        FiniteDifference(Failing()).at_point(free_energy, point, None)
    assert failed.value.status is Status.CORRECTOR_DIVERGED


@pytest.mark.parametrize("predictor", [pytest.param(False, marks=pytest.mark.slow), True])
def test_iso_c_holds_to_first_order_in_delta_and_step(predictor: bool) -> None:
    """No constraint is held by the corrector: C drifts by the error of M times the way, and less by half of both."""
    drifts = []
    for step, delta in ((0.1, 0.02), (0.05, 0.01)):
        run = problem(
            linear_gaussian(), IsoFunctional((0.0, 0.8)), 1.2, 1.5, Integrator("euler"), step, look_ahead=False
        )
        run = replace(run, corrector=NEWTON, response=FiniteDifference(NEWTON, (delta, delta, delta), predictor))
        points, events = points_and_events(run)
        assert [e.kind for e in events] == ["end"] and events[-1].values["status"] == "COMPLETED"
        drifts.append(abs(float(points[-1].at.functionals[2] - points[0].at.functionals[2])))
    assert drifts[0] < 5e-2
    assert drifts[1] == pytest.approx(0.5 * drifts[0], rel=0.1)


def test_a_transfer_to_the_very_end() -> None:
    far = linear_gaussian()
    assert far.target is not None
    objective = replace(far, target=0.75 * far.source + 0.25 * far.target)
    run = problem(
        objective, IsoFunctionalTransfer((0.0, 1.0), 0.2), 2.0, 3.0, Integrator("euler"), 0.1, look_ahead=False,
        baumgarte=10.0,
    )  # fmt: skip
    run = replace(run, corrector=NEWTON, response=FiniteDifference(NEWTON))
    points, events = points_and_events(run)
    assert events[-1].values["status"] == "COMPLETED"
    assert points[-1].state.data_position == pytest.approx(1.0)
    assert abs(float(points[-1].at.functionals[2] - points[0].at.functionals[2])) < 5e-3


@pytest.mark.slow
def test_a_reference_cancels_what_a_short_correction_still_improves() -> None:
    """From a point beside the surface, by Adam steps that do not reach it, on minibatches."""
    objective, at = amortised(blobs(120)), controls(0.8, 2.5)
    exact = linear_response(equilibrium(objective, at), Dense(), 0.0).matrix[1:, :2]
    free_energy = FreeEnergy(objective, Work())
    off = 0.03 * torch.randn(objective.size, generator=generator(), dtype=torch.float64)
    beside = free_energy.linearise(equilibrium(objective, at).theta + off, at)
    errors = []
    for reference in (False, True):
        model = FiniteDifference(Gradient(300, 5e-3, 30), (0.02, 0.02, 0.02), reference=reference)
        before = free_energy.work.corrector_iterations
        errors.append(float((model.at_point(free_energy, beside, None).matrix[1:, :2] - exact).norm()))
        assert free_energy.work.corrector_iterations - before == (900 if reference else 600)
    assert errors[0] > 3 * float(exact.norm())
    assert errors[1] < float(exact.norm())

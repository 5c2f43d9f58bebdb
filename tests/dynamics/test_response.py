"""Linear response against re-equilibration, and the identities of the surface."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import xarray as xr
from torch import Tensor

from rdc_dyn.data.samples import Data
from rdc_dyn.dynamics import Integrator, IsoFunctional, Prescribed, linear_response
from rdc_dyn.linalg import ConjugateGradient, Dense, Factorised, Preconditioner
from rdc_dyn.objective import FiniteLatent, Objective
from rdc_dyn.read import accessor  # noqa: F401  # registers ds.rdc
from rdc_dyn.store.dataset import to_dataset
from tests.problems import (
    amortised,
    blobs,
    controls,
    digits,
    equilibrium,
    finite_latent,
    importance_weighted,
    problem,
    trajectory,
)


def mixture() -> FiniteLatent:
    source, target = blobs(seed=1), blobs(seed=2)
    return finite_latent(Data(source.source, target.source, None, 3), 3, 1e-2)


CASES: dict[str, Callable[[], Objective]] = {
    "finite_latent": lambda: finite_latent(blobs(), 3, 1e-2),
    "finite_latent bernoulli": lambda: finite_latent(blobs(), 3, 1e-2, bernoulli=True),
    "finite_latent mixture": mixture,
    "finite_latent digits": lambda: finite_latent(digits(100), 3, 1e-2),
    "amortised": lambda: amortised(blobs(24)),
    "amortised gaussian": lambda: amortised(blobs(24), bernoulli=False),
    "importance weighted": lambda: importance_weighted(blobs(24), samples=8),
}


@pytest.mark.parametrize("name", CASES)
def test_response_is_the_derivative_of_the_equilibrium(name: str) -> None:
    """θ_c and M against central differences of re-equilibrated θ, to 1e-6."""
    objective = CASES[name]()
    # Where A has a soft mode the equilibrium bends so fast that differences cannot resolve its tangent; not so here.
    stiff = name in ("amortised", "finite_latent digits", "importance weighted")
    centre = controls(1.0, 3.0) if stiff else controls(0.5, 1.5, 0.3 if objective.moves else 0.0)
    at = equilibrium(objective, centre)
    response = linear_response(at, Dense(), objective.weight_prior_precision)
    for column in range(3 if objective.moves else 2):
        theta_c, functional_c = central_difference(objective, centre, at.theta, column)
        scale = float(theta_c.norm())
        assert float((response.directions[column] - theta_c).norm()) <= 1e-6 * max(1.0, scale)
        torch.testing.assert_close(response.matrix[:, column], functional_c, rtol=1e-6, atol=1e-6)


def central_difference(objective: Objective, centre: Tensor, theta: Tensor, column: int) -> tuple[Tensor, Tensor]:
    """Sixth-order central differences of (θ, (R, D, C)), each point equilibrated anew from `theta`."""
    h = 2e-3
    points = []
    for k in (-3, -2, -1, 1, 2, 3):
        c = centre.clone()
        c[column] += k * h
        at = equilibrium(objective, c, theta, tolerance=1e-13)
        points.append((at.theta, at.functionals))
    weights = (-1 / 60, 9 / 60, -45 / 60, 45 / 60, -9 / 60, 1 / 60)
    return (
        torch.stack([w * p[0] for w, p in zip(weights, points)]).sum(0) / h,
        torch.stack([w * p[1] for w, p in zip(weights, points)]).sum(0) / h,
    )


@pytest.mark.parametrize("name", CASES)
def test_free_energy_is_concave_and_maxwell_holds(name: str) -> None:
    objective = CASES[name]()
    response = linear_response(equilibrium(objective, controls(0.5, 1.5)), Dense(), objective.weight_prior_precision)
    hessian = response.matrix[1:, :2]
    torch.testing.assert_close(hessian, hessian.T, rtol=1e-9, atol=1e-11)
    assert float(torch.linalg.eigvalsh(hessian).max()) <= 1e-12


@pytest.mark.parametrize("name", CASES)
def test_krylov_and_dense_response_agree(name: str) -> None:
    objective = CASES[name]()
    at = equilibrium(objective, controls(0.5, 1.5))
    dense = linear_response(at, Dense(), objective.weight_prior_precision)
    for solver in (
        ConjugateGradient(1e-11, 20_000),
        ConjugateGradient(1e-11, preconditioner=Preconditioner(Factorised())),
    ):
        krylov = linear_response(at, solver, objective.weight_prior_precision)
        torch.testing.assert_close(krylov.matrix, dense.matrix, rtol=1e-7, atol=1e-9)
        assert krylov.residual <= 1e-11


@pytest.fixture(scope="module")
def digits_path() -> xr.Dataset:
    """Iso-classification of all 1,797 digits, with a weight prior so weak that it hardly takes part."""
    objective = finite_latent(digits(None), 10, 1e-4)
    solver = ConjugateGradient(1e-11, preconditioner=Preconditioner(Factorised()))
    run = problem(
        objective, IsoFunctional((0.0, 0.8)), 0.5, 4.0, Integrator("rk4"), 0.05, solver=solver, adam_steps=200
    )
    records, status = trajectory(run)
    assert status == "COMPLETED"
    assert len(records) == 17
    return to_dataset(records, {})


@pytest.mark.slow
def test_maxwell_and_concavity_on_digits(digits_path: xr.Dataset) -> None:
    assert float(digits_path.rdc.maxwell_residual().max()) < 1e-8
    assert float(digits_path.rdc.hessian_eigenvalues().max()) < 0
    assert float(abs(digits_path.rdc.drift()).max()) <= 1e-10


def test_rate_follows_distortion_on_digits(digits_path: xr.Dataset) -> None:
    """Ṙ = −λḊ at constant C (29); the prior takes its part of the work, Ṙ + Ω̇ = −λḊ holds exactly."""
    ds = digits_path
    assert float(ds.rate[-1] - ds.rate[0]) > 5e-3

    def rate_of_change(x: xr.DataArray) -> xr.DataArray:
        """Fourth-order central differences in the clock."""
        h = float(ds.time[1] - ds.time[0])
        v = x.values
        return xr.DataArray((v[:-4] - 8 * v[1:-3] + 8 * v[3:-1] - v[4:]) / (12 * h), dims="time")

    work = -ds.lam.values[2:-2] * rate_of_change(ds.distortion)
    exact = rate_of_change(ds.rate + ds.weight_penalty) - work
    bare = rate_of_change(ds.rate) - work
    assert float(abs(exact).max()) < 1e-3 * float(abs(work).max())
    assert float(abs(bare).max()) < 5e-2 * float(abs(work).max())


def test_first_law_and_free_energy_closure_on_digits(digits_path: xr.Dataset) -> None:
    """F(end) − F(start) = ∫ D dλ + C dγ along the path."""
    change = float(abs(digits_path.free_energy[-1] - digits_path.free_energy[0]))
    assert change > 1.0
    assert float(abs(digits_path.rdc.free_energy_closure()).max()) < 1e-7 * change
    assert float(abs(digits_path.rdc.first_law_residual()).max()) < 1e-7 * change


@pytest.mark.slow
def test_free_energy_closure_on_a_prescribed_path_of_digits() -> None:
    objective = finite_latent(digits(None), 10, 1e-3)
    process = Prescribed((0.0, 1.0), (0.5, 0.7), (4.0, 3.5))
    records, status = trajectory(problem(objective, process, 0.5, 4.0, Integrator("rk4"), 0.1, adam_steps=200))
    assert status == "COMPLETED"
    ds = to_dataset(records, {})
    change = float(abs(ds.free_energy[-1] - ds.free_energy[0]))
    assert change > 1.0
    assert float(abs(ds.rdc.free_energy_closure()).max()) < 1e-7 * change
    assert bool(ds.constraint_residual.isnull().all())

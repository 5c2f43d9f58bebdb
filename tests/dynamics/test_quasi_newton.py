"""The quasi-Newton corrector against Newton's method: the same points, for gradients in place of products."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

import rdc_dyn
from rdc_dyn.curvature.free_energy import FreeEnergy
from rdc_dyn.curvature.hessian import price
from rdc_dyn.curvature.linearisation import Work
from rdc_dyn.dynamics import NewtonKrylov, QuasiNewton, State
from rdc_dyn.dynamics.correctors.base import Correction, Departure
from rdc_dyn.dynamics.correctors.quasi_newton import _bent
from rdc_dyn.linalg import ConjugateGradient, Factorised, Preconditioner
from rdc_dyn.linalg.recipe import Identity
from rdc_dyn.scenario import loads
from rdc_dyn.status import Status
from tests.problems import amortised, blobs, controls, equilibrium, linear_gaussian
from tests.tiny import images

_SCENARIOS = Path(__file__).resolve().parents[2] / "scenarios"


def _vae(**process: Any) -> dict[str, Any]:
    """An Euler path of a small network; its Hessian has a closed form."""
    tree = images(data={"source": {"limit": 90}}, integrator={"step_size": 0.05}) | {
        "objective": {
            "kind": "amortised",
            "encoder": {"kind": "mlp", "hidden": [4], "latent_dim": 2},
            "decoder": {"kind": "mlp", "hidden": [4], "likelihood": "gaussian", "variance": 0.1},
            "samples": 4,
            "weight_prior_precision": 0.1,
        },
        "process": {"span": [0.0, 0.5]} | process,
        "response": {"solver": {"method": "cg", "rtol": 1e-4}},
    }
    tree["start"] |= {"gamma": 4.0}
    return tree


def _geodesic() -> dict[str, Any]:
    """Two functionals held, on the closed form."""
    scenario = loads((_SCENARIOS / "linear_gaussian_geodesic_transfer.yaml").read_text())
    tree: dict[str, Any] = scenario.model_dump(mode="json", by_alias=True)
    tree["corrector"] = {}
    tree["integrator"] = {"method": "euler", "step_size": 0.05}
    return tree


def _run(tree: dict[str, Any], method: str) -> xr.Dataset:
    return rdc_dyn.run({**tree, "corrector": {"method": method, "tolerance": 1e-9, "constraint_tolerance": 1e-10}})


@pytest.mark.parametrize(
    "tree",
    [
        pytest.param(_vae(kind="iso_classification"), marks=pytest.mark.slow),
        pytest.param(_vae(kind="prescribed", path={"lam": 0.7, "gamma": 4.5}), marks=pytest.mark.slow),
        _vae(kind="iso_functional", hold={"rate": 1.0, "distortion": 0.5, "classification_loss": 1.0}),
        _geodesic(),
    ],
    ids=["iso classification", "nothing held", "iso functional", "two held"],
)
@pytest.mark.filterwarnings("ignore")
def test_the_path_is_newtons_for_less(tree: dict[str, Any]) -> None:
    newton, ours = _run(tree, "newton_krylov"), _run(tree, "quasi_newton")
    assert newton.attrs["status"] == ours.attrs["status"] == "COMPLETED"
    assert newton.time.values.tolist() == ours.time.values.tolist()
    assert float(ours.equilibrium_residual.max()) <= 1e-9
    assert float(abs(ours.constraint_residual).fillna(0).max()) <= 1e-10
    for name in ("lam", "gamma", "rate", "distortion", "classification_loss"):
        np.testing.assert_allclose(ours[name], newton[name], rtol=2e-6, err_msg=name)

    def cost(run: xr.Dataset) -> float:
        path = run.isel(time=[0, -1])
        return float(path.gradient_evaluations.diff("time")[0] + 1.25 * path.hessian_vector_products.diff("time")[0])

    assert cost(ours) < cost(newton), (cost(ours), cost(newton))


def _corrected(*, factorised: bool, tolerance: float = 1e-9) -> tuple[Any, Work, int]:
    """A correction after a step of 5 % in λ, with θ_λ but no kept factor of A."""
    objective, work = amortised(blobs(60)), Work()
    free_energy = FreeEnergy(objective, work)
    at = equilibrium(objective, controls(0.5, 1.0))
    preconditioner = Preconditioner(Factorised(price=price(objective)) if factorised else Identity(), 40)
    solver = ConjugateGradient(1e-8, preconditioner=preconditioner)
    theta = torch.zeros_like(at.mixed)
    theta[:2] = ConjugateGradient(1e-8, preconditioner=Preconditioner(Factorised())).solve(at, at.mixed[:2]).value
    departure = Departure(free_energy.linearise(at.theta, at.controls), None, {}, theta, theta)
    assert departure.at.mixed.any()  # known where a response is
    work.hessian_vector_products = 0
    moved = controls(0.525, 1.0)
    state = State(at.theta + (moved - at.controls) @ theta, moved)
    corrector = QuasiNewton(NewtonKrylov(solver, tolerance), preconditioner)
    return corrector.correct(free_energy, state, None, departure), work, preconditioner.products


def test_with_a_factor_no_product_is_taken() -> None:
    done, work, builds = _corrected(factorised=True)
    assert done.failure is None and done.at.residual <= 1e-9
    assert work.hessian_vector_products == builds
    assert done.iterations <= 20


def test_without_a_metric_newtons_method_takes_over() -> None:
    done, work, _ = _corrected(factorised=False)
    assert done.failure is None and done.at.residual <= 1e-9
    assert work.hessian_vector_products > 10


@pytest.mark.parametrize(("status", "starts"), [(Status.CORRECTOR_DIVERGED, 2), (Status.INDEFINITE, 1)])
def test_newton_begins_again_where_no_iteration_has_led(
    status: Status, starts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Newton's method that fails where the iteration stalled begins again at the prediction, unless A is indefinite."""
    seen, newton = [], NewtonKrylov.correct

    def failing_first(self: NewtonKrylov, free_energy: FreeEnergy, state: State, *rest: Any) -> Correction:
        seen.append(state.theta)
        return Correction(state, None, 3, status) if len(seen) == 1 else newton(self, free_energy, state, *rest)

    monkeypatch.setattr(NewtonKrylov, "correct", failing_first)
    done, _, _ = _corrected(factorised=False)
    assert len(seen) == starts
    assert done.failure is (None if starts == 2 else status)
    assert starts == 1 or (not torch.equal(*seen) and done.at.residual <= 1e-9)


def test_a_saddle_is_refused() -> None:
    """Where A has a negative eigenvalue, H descends from the saddle, and the rebuilt factor says so."""
    objective = linear_gaussian()
    origin = FreeEnergy(objective, Work()).linearise(
        torch.zeros(objective.size, dtype=torch.float64), controls(3.0, 3.0)
    )
    g = torch.Generator().manual_seed(0)
    off = torch.randn(objective.size, generator=g, dtype=torch.float64)
    preconditioner = Preconditioner(Factorised(price=1), 40)
    newton = NewtonKrylov(ConjugateGradient(preconditioner=preconditioner), 1e-12)
    none = torch.zeros_like(origin.mixed)
    state = State(origin.theta + 1e-2 * off / off.norm(), origin.controls)
    departure = Departure(origin, None, {}, none, none)
    done = QuasiNewton(newton, preconditioner).correct(FreeEnergy(objective, Work()), state, None, departure)
    assert done.failure is Status.INDEFINITE


def test_a_prediction_along_the_tangent_is_bent() -> None:
    """θ of an Euler step is of second order in the step, bent by the extrapolated θ_c it is of third."""
    objective = amortised(blobs(60))
    free_energy = FreeEnergy(objective, Work())
    solver = ConjugateGradient(1e-10, preconditioner=Preconditioner(Factorised()))
    at, end = (equilibrium(objective, controls(lam, 1.0)) for lam in (0.5, 0.52))
    begins, ends = (torch.cat([solver.solve(a, a.mixed[:2]).value, torch.zeros_like(a.theta)[None]]) for a in (at, end))
    change = end.controls - at.controls
    euler = State(at.theta + change @ begins, end.controls)
    bent = _bent(euler, Departure(at, None, {}, begins, ends))
    left = [free_energy.linearise(s.theta, s.controls).residual for s in (euler, bent)]
    assert left[1] < 0.1 * left[0]
    other = replace(euler, theta=euler.theta + 1e-3)
    assert _bent(other, Departure(at, None, {}, begins, ends)) is other

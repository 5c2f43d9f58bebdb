"""On a GPU everything is as on the CPU; skipped where there is none."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

import rdc_dyn
from tests import tiny

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU on this machine")

_COUNTED = (
    "gradient_evaluations",
    "hessian_vector_products",
    "krylov_iterations",
    "wall_time",
    "krylov_residual",
    "response_solve_error",
)


def _agree(one: xr.Dataset, other: xr.Dataset, tolerance: float) -> None:
    assert one.attrs["status"] == other.attrs["status"] == "COMPLETED"
    for name in set(one.data_vars) - set(_COUNTED) - {"equilibrium_residual", "constraint_residual"}:
        np.testing.assert_allclose(one[name], other[name], rtol=tolerance, atol=tolerance, err_msg=name)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-7), ("float32", 2e-2)])
def test_a_finite_alphabet_runs_alike(dtype: str, tolerance: float) -> None:
    scenario = tiny.images(dtype=dtype)
    _agree(rdc_dyn.run(scenario, device="cpu"), rdc_dyn.run(scenario, device="cuda"), tolerance)


def test_a_linear_gaussian_model_runs_alike() -> None:
    scenario = tiny.linear_gaussian()
    _agree(rdc_dyn.run(scenario, device="cpu"), rdc_dyn.run(scenario, device="cuda"), 1e-7)


@pytest.mark.parametrize("mode", ["kept", "recomputed"])
def test_products_of_a_network_are_alike(mode: str) -> None:
    from rdc_dyn.curvature.free_energy import FreeEnergy
    from rdc_dyn.curvature.linearisation import Work
    from rdc_dyn.curvature.memory import evaluation
    from rdc_dyn.data.samples import Data, Sample
    from rdc_dyn.objective import Amortised
    from tests.problems import amortised, blobs, controls, generator

    data = blobs()
    here = amortised(data)
    moved = Data(Sample(data.source.x.cuda(), data.source.y.cuda()), None, None, data.classes)
    there = Amortised(moved, here.networks, here.latent_dim, here.likelihood, here.samples, 1e-2, seed=0)
    theta, c = here.initial(generator()), controls(0.5, 2.0)
    v = torch.randn(3, here.size, generator=generator(), dtype=torch.float64)
    products = []
    for objective, place in ((here, "cpu"), (there, "cuda")):
        chosen = evaluation(objective, theta.to(place), c.to(place), mode, 1e5)  # type: ignore[arg-type]
        at = FreeEnergy(objective, Work(), chosen.local).linearise(theta.to(place), c.to(place))
        products.append(torch.cat([at.mm(v.to(place)), at.mixed, at.gradient[None]]).cpu())
    torch.testing.assert_close(products[0], products[1], rtol=1e-11, atol=1e-11)


_PERCEPTRON = {
    "objective": {
        "kind": "amortised",
        "encoder": {"kind": "mlp", "hidden": [5], "latent_dim": 2},
        "decoder": {"kind": "mlp", "hidden": [5], "likelihood": "bernoulli"},
        "classifier": {"kind": "linear"},
        "samples": 4,
        "weight_prior_precision": 0.1,
    },
    "start": {"lam": 0.5, "gamma": 1.0, "equilibrate": {"adam_steps": 200, "learning_rate": 0.02}},
}
_CONVOLUTIONS = {
    "objective": {
        "kind": "amortised",
        "encoder": {"kind": "resnet18", "width": 4, "latent_dim": 2, "stem": "3x3"},
        "decoder": {"kind": "deconv", "width": 4, "likelihood": "gaussian", "variance": 0.5},
        "classifier": {"kind": "linear"},
        "samples": 1,
        "weight_prior_precision": 0.1,
    },
    "start": {
        "lam": 0.5,
        "gamma": 1.0,
        "equilibrate": {"adam_steps": 20, "batch": 20, "newton_steps": 0, "tolerance": 1e6},
    },
    "response": {"kind": "finite_difference", "delta": 0.1, "reference": True},
    "corrector": {"method": "gradient", "steps": 5, "batch": 20},
}


@pytest.mark.filterwarnings("ignore::rdc_dyn.RunWarning")
@pytest.mark.parametrize("changes", [_PERCEPTRON, _CONVOLUTIONS], ids=["perceptron", "convolutions"])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-6), ("float32", 2e-2)])
def test_networks_run_alike(changes: dict[str, Any], dtype: str, tolerance: float) -> None:
    """Newton and linear response on a perceptron; minibatches and finite differences on convolutions."""
    scenario = tiny.images(dtype=dtype) | copy.deepcopy(changes)
    _agree(rdc_dyn.run(scenario, device="cpu"), rdc_dyn.run(scenario, device="cuda"), tolerance)

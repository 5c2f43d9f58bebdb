"""Preconditioners made of the Gauss–Newton matrix: what they invert, what they cost, and that paths stay the same."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch

import rdc_dyn
from rdc_dyn.curvature.free_energy import FreeEnergy
from rdc_dyn.curvature.gauss_newton import FromGaussNewton, GaussNewton
from rdc_dyn.curvature.linearisation import Work
from rdc_dyn.linalg import ConjugateGradient, Factorised, Minres, Nystrom, Preconditioner
from rdc_dyn.scenario import loads
from rdc_dyn.scenario.sections.solvers import KrylovSection
from rdc_dyn.status import UserError
from tests.problems import amortised, blobs, controls, finite_latent, generator
from tests.tiny import images

_C = controls(0.7, 1.3)


def test_a_factor_inverts_it_where_the_hessian_is_indefinite() -> None:
    objective, work = amortised(blobs(8), samples=2), Work()
    theta = objective.initial(generator()) + torch.randn(objective.size, generator=generator(1), dtype=torch.float64)
    at = FreeEnergy(objective, work).linearise(theta, _C)
    eye = torch.eye(objective.size, dtype=torch.float64)
    assert float(torch.linalg.eigvalsh(at.mm(eye))[0]) < -1e-2
    bent = GaussNewton(objective, Work(), theta, _C)
    preconditioner = Preconditioner(FromGaussNewton(Factorised(), objective), memory=0)
    before = work.hessian_vector_products
    preconditioner.prepare(at)
    assert work.hessian_vector_products - before == preconditioner.products == objective.size
    torch.testing.assert_close(preconditioner.apply(bent.mm(eye)), eye, rtol=1e-8, atol=1e-8)
    solution = ConjugateGradient(1e-10, preconditioner=preconditioner).solve(bent, eye[:2])
    assert solution.failure is None and solution.iterations <= 3
    # MINRES solves with the indefinite Hessian itself, and G in front of it.
    solution = Minres(1e-8, preconditioner=preconditioner).solve(at, eye[:1])
    assert solution.failure is None
    torch.testing.assert_close(at.mm(solution.value), eye[:1], rtol=1e-6, atol=1e-6)


def test_nystrom_of_full_rank_is_the_factor() -> None:
    objective = amortised(blobs(8), samples=2)
    theta = objective.initial(generator())
    at = FreeEnergy(objective, Work()).linearise(theta, _C)
    rows = torch.randn(3, objective.size, generator=generator(2), dtype=torch.float64)
    recipes = (Factorised(), Nystrom(objective.size, objective.weight_prior_precision))
    factor, low_rank = (FromGaussNewton(recipe, objective).build(at).apply(rows) for recipe in recipes)
    torch.testing.assert_close(factor, low_rank, rtol=1e-5, atol=1e-5)


def test_refused_where_there_is_none() -> None:
    objective = amortised(blobs(8), samples=2)
    with pytest.raises(UserError, match="FiniteLatent has no loss that is convex"):
        FromGaussNewton(Factorised(), finite_latent(blobs(8), 3, 0.1))
    with pytest.raises(TypeError, match="GaussNewton is not the linearisation"):
        FromGaussNewton(Factorised(), objective).build(
            GaussNewton(objective, Work(), objective.initial(generator()), _C)
        )


def _run(curvature: str) -> Any:
    tree = images(
        process={"kind": "iso_classification", "span": [0.0, 0.2]},
        start={"lam": 0.5, "gamma": 2.0, "equilibrate": {"adam_steps": 300}},
        response={"solver": {"method": "cg", "preconditioner": "factorised", "curvature": curvature}},
    )
    tree["process"].pop("path")
    tree["objective"] = {
        "kind": "amortised",
        "encoder": {"kind": "mlp", "hidden": [3], "latent_dim": 2},
        "decoder": {"kind": "mlp", "hidden": [3], "likelihood": "bernoulli"},
        "samples": 4,
        "weight_prior_precision": 0.1,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rdc_dyn.RunWarning)  # so few data are learnt by heart
        return rdc_dyn.run(tree)


def test_the_path_is_that_of_the_hessian() -> None:
    bent, exact = _run("gauss_newton"), _run("hessian")
    assert bent.attrs["status"] == exact.attrs["status"] == "COMPLETED"
    for name in ("lam", "gamma", "rate", "distortion", "classification_loss"):
        np.testing.assert_allclose(bent[name], exact[name], rtol=1e-6)
    np.testing.assert_allclose(bent.response, exact.response, rtol=1e-3, atol=1e-5)
    solver = loads(bent.attrs["scenario"]).response.solver
    assert isinstance(solver, KrylovSection) and solver.curvature == "gauss_newton"
    for ds in (bent, exact):
        builds, products = ds.preconditioner_builds.values, ds.preconditioner_products.values
        assert builds[0] >= 1 and (np.diff(builds) >= 0).all()
        # A itself has a closed form, cheaper than the P products that a factor of the Gauss-Newton matrix takes.
        each = products / builds
        assert (each <= ds.attrs["parameters"]).all() and (ds is bent or (each == each[0]).all())
        assert (products <= ds.hessian_vector_products.values).all()
    assert exact.preconditioner_products[0] / exact.preconditioner_builds[0] < exact.attrs["parameters"] / 2

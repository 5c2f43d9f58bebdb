"""What a scenario gets that does not name it."""

from __future__ import annotations

from typing import Any

import pytest

from rdc_dyn.linalg import ConjugateGradient
from rdc_dyn.running.build import build
from rdc_dyn.scenario import from_mapping
from tests.tiny import images, linear_gaussian


def network(**changes: Any) -> dict[str, Any]:
    tree = images(**changes)
    layers = {"kind": "mlp", "hidden": [4]}
    parts = {"encoder": layers | {"latent_dim": 2}, "decoder": layers | {"likelihood": "bernoulli"}}
    return tree | {"objective": {"kind": "amortised", "weight_prior_precision": 0.3, **parts}}


def solver(**named: Any) -> dict[str, Any]:
    return {"response": {"solver": {"method": "cg", **named}}}


@pytest.mark.parametrize(
    ("tree", "method"),
    [
        (network(), "quasi_newton"),
        (network() | solver(preconditioner="kfac"), "newton_krylov"),
        (network() | solver(curvature="gauss_newton"), "newton_krylov"),
        (network() | {"response": {"solver": {"method": "dense"}}}, "newton_krylov"),
        (network() | {"corrector": {"method": "newton_krylov"}}, "newton_krylov"),
        (images(), "newton_krylov"),
    ],
)
def test_the_corrector_of_a_small_network_is_quasi_newton(tree: dict[str, Any], method: str) -> None:
    assert from_mapping(tree).corrector.method == method


@pytest.mark.parametrize(
    ("method", "corrector", "quadratic"),
    [("euler", "newton_krylov", True), ("rk4", "newton_krylov", False), ("euler", "none", False)],
)
def test_theta_c_is_solved_loosely_only_where_it_predicts(
    tmp_path: Any, method: str, corrector: str, quadratic: bool
) -> None:
    tree = linear_gaussian(integrator={"method": method}, response={"solver": {"method": "cg"}})
    built = build(from_mapping(tree | {"corrector": {"method": corrector}}), tmp_path)
    found = built.problem.response.solver  # type: ignore[attr-defined]
    assert isinstance(found, ConjugateGradient) and found.quadratic is quadratic


def test_an_exponential_path_may_leave_a_multiplier_at_zero() -> None:
    still = {"kind": "prescribed", "shape": "exponential", "path": {"lam": [1.0, 4.0], "gamma": [0.0, 0.0]}}
    tree = network() | {"start": {"lam": 1.0, "gamma": 0.0}, "process": still}
    assert from_mapping(tree).process.kind == "prescribed"

"""A scenario without solves, from its keys to the attributes of its trajectory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import rdc_dyn
from rdc_dyn.dynamics import LinearResponse, Secant
from rdc_dyn.running.build import build
from rdc_dyn.scenario import from_mapping
from rdc_dyn.status import UserError
from tests.tiny import images, linear_gaussian

NETWORK: dict[str, Any] = {
    "kind": "amortised",
    "encoder": {"kind": "mlp", "hidden": [4], "latent_dim": 2},
    "decoder": {"kind": "mlp", "hidden": [4], "likelihood": "bernoulli"},
    "weight_prior_precision": 0.01,
}


def network(**changes: Any) -> dict[str, Any]:
    """48 digits in three classes, iso-C, with an Adam start."""
    tree = images(
        start={"lam": 0.5, "gamma": 2.0, "equilibrate": {"adam_steps": 300, "learning_rate": 0.02}}, **changes
    )
    tree["objective"] = NETWORK
    tree["process"] = {"kind": "iso_classification", "span": [0.0, 0.2]}
    return tree


def built(tree: dict[str, Any]) -> Any:
    return build(from_mapping(tree), Path.cwd())


def test_a_scenario_without_response_is_as_it_was() -> None:
    for tree in (linear_gaussian(), network()):
        found = built(tree)
        assert isinstance(found.problem.response, LinearResponse)
        assert found.problem.baumgarte == 0.0
        assert found.problem.step_size.current is None
        assert found.choices["response_kind"] == "linear_response" and found.choices["approximations"] == ""
    assert built(linear_gaussian()).problem.monitor is not None and built(network()).problem.on_fold == "relax"


def test_secants_by_default() -> None:
    """No A: no monitor, no relaxing; a pull of 1/h, and short first steps where corrections are sharp."""
    problem = built(network(response={"kind": "secant"}, corrector={"method": "gradient"})).problem
    assert problem.response == Secant(None, False)
    assert (problem.baumgarte, problem.on_fold, problem.monitor) == (10.0, "stop", None)
    assert problem.step_size.current is None
    tree = linear_gaussian(
        response={"kind": "secant", "start": "linear_response"},
        corrector={"method": "newton_krylov", "hold_constraint": False},
    )
    problem = built(tree).problem
    assert problem.response.first is not None and problem.response.predictor
    assert problem.monitor is None and problem.baumgarte == pytest.approx(10.0) and problem.step_size.current is None
    tree["response"]["start"], tree["corrector"]["hold_constraint"] = "guess", True
    problem = built(tree).problem
    assert problem.baumgarte == 0.0 and problem.step_size.current == pytest.approx(0.1 / 8)


def test_nothing_that_solves_is_built_where_nothing_solves() -> None:
    """A network that is too large to be factorised runs by secants with the default solver."""
    tree = network(corrector={"method": "gradient"}, response={"kind": "secant"})
    tree["response"].pop("solver", None)
    tree["objective"] = NETWORK | {"encoder": {"kind": "mlp", "hidden": [200], "latent_dim": 2}}
    assert built(tree).problem.start.theta.shape[0] > 10_000
    tree["response"] = {"kind": "linear_response"}
    with pytest.raises(UserError, match="too large"):
        built(tree)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"linearisation": {"curvature_data": 20}}, "A from 20 of 48 data"),
        ({"response": {"solver": {"method": "dense", "damping": 0.1}}}, "A damped by 0.1"),
        (
            {"response": {"kind": "secant"}, "corrector": {"method": "gradient", "batch": 16}},
            "response by secant updates; corrector gradients from minibatches of 16",
        ),
        (
            {"response": {"kind": "finite_difference", "delta": 0.02}},
            "response by finite differences of 0.02; no predictor",
        ),
    ],
)
def test_what_is_approximate_is_said(changes: dict[str, Any], sentence: str) -> None:
    assert built(network(**changes)).choices["approximations"] == sentence


@pytest.mark.filterwarnings("ignore::rdc_dyn.RunWarning")
def test_a_run_without_solves_is_recorded_and_reproducible(tmp_path: Path) -> None:
    tree = network(
        response={"kind": "secant"}, corrector={"method": "gradient", "steps": 60, "batch": 16},
        integrator={"method": "euler", "step_size": 0.05},
    )  # fmt: skip
    tree["start"]["equilibrate"] |= {"batch": 16, "newton_steps": 0, "tolerance": 5.0}
    one, two = rdc_dyn.run(tree, tmp_path / "run"), rdc_dyn.run(tree)
    assert one.attrs["status"] == "COMPLETED", one.attrs["status_detail"]
    assert rdc_dyn.open_run(tmp_path / "run").attrs["approximations"] == (
        "response by secant updates; corrector gradients from minibatches of 16; start by Adam alone"
    )
    assert one.attrs["response_kind"] == "secant"
    for name in ("lam", "gamma", "rate", "distortion", "classification_loss"):
        assert torch.equal(torch.from_numpy(one[name].values), torch.from_numpy(two[name].values))
    assert int(one.krylov_iterations[-1]) == 0


@pytest.mark.filterwarnings("ignore::rdc_dyn.RunWarning")
def test_the_paper_s_recipe_from_a_scenario() -> None:
    """(31): differences, no predictor, Adam; every equilibration is counted."""
    tree = network(
        response={"kind": "finite_difference"}, corrector={"method": "gradient", "steps": 50},
        integrator={"method": "euler", "step_size": 0.1},
    )  # fmt: skip
    ds = rdc_dyn.run(tree)
    assert ds.attrs["status"] == "COMPLETED", ds.attrs["status_detail"]
    spent = float(ds.gradient_evaluations[-1] - ds.gradient_evaluations[0])
    assert len(ds.time) == 3 and spent == 2 * 3 * 51
    assert int(ds.krylov_iterations[-1]) == 0

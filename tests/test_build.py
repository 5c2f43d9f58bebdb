"""Parts of a step: what large networks descend by, and how well solves are solved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import rdc_dyn
from rdc_dyn.comparison.errors import errors, floors
from rdc_dyn.comparison.reference import choose
from rdc_dyn.comparison.runs import read_runs
from rdc_dyn.curvature.kfac import Kfac
from rdc_dyn.dynamics import LinearResponse
from rdc_dyn.linalg import ConjugateGradient, Factorised, Identity, Nystrom, materialise
from rdc_dyn.running.build import build
from rdc_dyn.scenario import dump, from_mapping, loads
from rdc_dyn.scenario.sections.solvers import KrylovSection
from tests import tiny
from tests.problems import first_point

DIFFERENCES = {"kind": "finite_difference", "delta": 0.1}
LINEAR = {"kind": "linear_response"}


def _scenario(response: dict[str, Any], preconditioner: str, **solver: Any) -> dict[str, Any]:
    """A digits VAE of 623 parameters."""
    newton = response["kind"] == "linear_response"
    return {
        "name": "descent",
        "data": {"source": {"name": "digits", "classes": [0, 1, 2], "limit": 30}},
        "objective": {
            "kind": "amortised",
            "encoder": {"kind": "mlp", "hidden": [4], "latent_dim": 2},
            "decoder": {"kind": "mlp", "hidden": [4], "likelihood": "bernoulli"},
            "classifier": {"kind": "linear"},
            "samples": 4,
            "weight_prior_precision": 0.3,
        },
        "start": {"lam": 0.5, "gamma": 2.0, "equilibrate": {"adam_steps": 300, "tolerance": 1e-8}},
        "process": {"kind": "iso_classification", "span": [0.0, 0.2]},
        "response": response | {"solver": {"method": "cg", "preconditioner": preconditioner} | solver},
        "integrator": {"method": "euler", "step_size": 0.1},
        "corrector": {"method": "newton_krylov" if newton else "gradient"},
    }


@pytest.mark.slow
@pytest.mark.parametrize(("response", "preconditioner"), [(LINEAR, "kfac"), (DIFFERENCES, "kfac"), (LINEAR, "nystrom")])
def test_a_large_network_reaches_a_minimum(
    response: dict[str, Any], preconditioner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rdc_dyn.scenario.context.Context.largest", 600)
    problem = build(loads(json.dumps(_scenario(response, preconditioner))), Path()).problem
    used = problem.minimiser.preconditioner
    assert isinstance(used.recipe, Kfac if preconditioner == "kfac" else Nystrom)
    assert used in problem.preconditioners  # what its builds cost is recorded
    at = first_point(problem).at
    assert at.residual <= 1e-8
    values = torch.linalg.eigvalsh(materialise(at))
    assert float(values[0]) > 1e-3 * problem.precision


def test_a_factor_is_used_where_it_can_be_had_and_nothing_damped_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def recipe(*given: Any, **solver: Any) -> object:
        return build(loads(json.dumps(_scenario(*given, **solver))), Path()).problem.minimiser.preconditioner.recipe

    assert isinstance(recipe(LINEAR, "kfac"), Factorised)
    monkeypatch.setattr("rdc_dyn.scenario.context.Context.largest", 600)
    assert isinstance(recipe(LINEAR, "none"), Identity)
    damped = recipe(LINEAR, "kfac", damping=0.1)
    assert isinstance(damped, Kfac) and damped.damping == 0.0


@pytest.mark.parametrize(
    ("dtype", "integrator", "given", "expected"),
    [
        ("float64", {"method": "euler", "step_size": 0.1}, None, 1e-8),
        ("float64", {"method": "dopri5", "rtol": 1e-4}, None, 1e-8),
        ("float64", {"method": "dopri5", "rtol": 1e-10}, None, 1e-11),
        ("float64", {"method": "dopri5", "rtol": 1e-13}, None, 1e-12),
        ("float64", {"method": "dopri5", "rtol": 1e-10}, 1e-5, 1e-5),
        ("float64", {"method": "dopri5", "rtol": None, "step_size": 0.1}, None, 1e-8),
        ("float32", {"method": "dopri5", "rtol": 1e-6}, None, 1e-4),
    ],
)
def test_solves_are_ten_times_as_good_as_the_integrator(
    dtype: str, integrator: dict[str, Any], given: float | None, expected: float
) -> None:
    """Else its error control takes the noise of solves for error, and shortens steps that are short enough."""
    scenario = _scenario(LINEAR, "kfac") | {"dtype": dtype, "integrator": integrator}
    scenario["response"]["solver"]["rtol"] = given
    scenario["start"]["equilibrate"]["tolerance"] = None
    problem = build(loads(json.dumps(scenario)), Path()).problem
    response = problem.response
    assert isinstance(response, LinearResponse) and isinstance(response.solver, ConjugateGradient)
    assert response.solver.rtol == pytest.approx(expected)


def test_compare_reckons_with_what_the_run_used(tmp_path: Path) -> None:
    """dopri5 at rtol 1e-10 solves to 1e-11 and holds C to 1e-10; defaults stood in two places and said 1e-8."""
    tree = tiny.linear_gaussian() | {"integrator": {"method": "dopri5", "rtol": 1e-10}, "response": {}}
    tree["process"] = {"kind": "iso_classification", "span": [0.0, 0.1]}
    rdc_dyn.run(tree, tmp_path / "run")
    (run,) = read_runs([tmp_path])
    assert run.values["response.solver.rtol"] == pytest.approx(1e-11)
    assert run.values["corrector.constraint_tolerance"] == 1e-10
    reference = choose([run], "finest")
    assert floors(run, errors(run, reference), reference)["error_held"].size <= 2e-10


def test_a_resolved_scenario_is_resolved() -> None:
    scenario = from_mapping(_scenario(LINEAR, "nystrom"))
    assert loads(dump(scenario)) == scenario
    assert (
        isinstance(scenario.response.solver, KrylovSection)
        and scenario.response.solver.rank == 100
        and scenario.process.on_fold == "relax"
    )

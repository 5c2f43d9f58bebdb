"""θ waits for the corrector: warm-started sweeps, jumps of the multipliers or of the data, plain training."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import xarray as xr

import rdc_dyn
from rdc_dyn.dynamics import Prescribed
from tests import tiny
from tests.problems import controls

_WARM: dict[str, Any] = {"response": {"kind": "none"}}


def _rounds(**changes: Any) -> dict[str, Any]:
    """Rounds of ten Adam steps at given multipliers."""
    gradient = {"method": "gradient", "steps": 10, "peak_learning_rate": 0.005, "schedule": "constant"}
    return tiny.images(**{"response": {"kind": "none"}, "corrector": gradient} | changes)


def test_a_warm_started_sweep_is_on_the_surface() -> None:
    followed = rdc_dyn.run(tiny.images(integrator={"method": "rk4"}))
    swept = rdc_dyn.run(tiny.images(**_WARM))
    for name in ("rate", "distortion", "classification_loss", "free_energy"):
        np.testing.assert_allclose(swept[name], followed[name], atol=1e-9)
    assert bool(np.isnan(swept.response).all())
    assert "no response" in swept.attrs["approximations"]
    assert int(swept.corrector_iterations[-1]) > int(followed.corrector_iterations[-1])


def test_a_jump_is_at_its_end_as_soon_as_the_clock_runs() -> None:
    path = Prescribed((2.0, 4.0), (1.0, 3.0), (2.0, 2.5), (0.0, 1.0), "jump")
    like = controls(0.0, 0.0)
    assert path.prescribed(2.0, like).tolist() == [1.0, 2.0, 0.0]
    assert path.prescribed(2.001, like).tolist() == path.prescribed(4.0, like).tolist() == [3.0, 2.5, 1.0]


def _jump(**changes: Any) -> xr.Dataset:
    process = {"kind": "prescribed", "path": {"lam": 0.8, "gamma": 2.0}, "shape": "jump", "span": [0.0, 0.2]}
    return rdc_dyn.run(_rounds(process=process, **changes))


def test_training_after_a_jump_lowers_the_free_energy_towards_the_new_equilibrium() -> None:
    trained = _jump(integrator={"step_size": 0.02})
    assert trained.lam.values.tolist() == [0.5] + 10 * [0.8]
    energy = trained.free_energy.values[1:]
    there = rdc_dyn.run(tiny.images(**_WARM, process={"path": {"lam": 0.8, "gamma": 2.0}})).free_energy.values[-1]
    assert bool((np.diff(energy) < 0).all())
    assert 0 < energy[-1] - there < 0.2 * (energy[0] - there)
    # The encoder is optimal at each theta: J there is at most what the codes of the start cost at the new multipliers.
    change = 0.3 * trained.distortion + 1.0 * trained.classification_loss
    assert energy[0] < float((trained.free_energy + change)[0])


def test_the_course_of_an_equilibration_is_an_event() -> None:
    corrector = {"method": "gradient", "steps": 40, "peak_learning_rate": 0.02, "trace": 8}
    run = rdc_dyn.run(tiny.images(**_WARM, corrector=corrector))
    events = run.rdc.events
    found = events.isel(event=np.flatnonzero(events.kind == "equilibrated"))
    assert found.sizes["event"] == run.sizes["time"] - 1
    courses = [json.loads(text) for text in found.free_energy.values]
    assert [len(course) for course in courses] == [9, 9]
    np.testing.assert_allclose([course[-1] for course in courses], run.free_energy.values[1:], rtol=1e-14)
    residuals = [json.loads(text) for text in found.equilibrium_residual.values]
    assert [len(course) for course in residuals] == [9, 9]
    np.testing.assert_allclose([course[-1] for course in residuals], run.equilibrium_residual.values[1:], rtol=1e-6)
    change = run.isel(time=0) * run.lam.diff("time", label="lower").isel(time=0)
    beginning = run.free_energy[0] + change.distortion + 0.05 * run.classification_loss[0]
    np.testing.assert_allclose(courses[0][0], beginning, rtol=1e-4)  # exact sums: J is concave, not linear, in them


def test_the_learning_rate_of_the_start_drops() -> None:
    def residual(**equilibrate: Any) -> float:
        start = {"equilibrate": {"adam_steps": 60, "newton_steps": 0, "tolerance": 10.0} | equilibrate}
        return float(rdc_dyn.run(_rounds(start=start)).equilibrium_residual[0])

    assert residual(drop_every=30) < residual(drop_every=1000)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"process": {"kind": "iso_classification"}}, "response.kind: none goes with process.kind: prescribed"),
        ({"corrector": {"method": "none"}}, "only corrections move it"),
    ],
)
def test_what_no_response_cannot_do(changes: dict[str, Any], message: str) -> None:
    scenario = tiny.images(**_WARM, **changes)
    if changes.get("process"):
        scenario["process"] = {"kind": "iso_classification", "span": [0.0, 0.1]}
    with pytest.raises(rdc_dyn.ScenarioError, match=message):
        rdc_dyn.run(scenario)

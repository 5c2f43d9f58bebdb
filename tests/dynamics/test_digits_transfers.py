"""Digits 0-4 become digits 5-9 by mixture and transport, at constant C or on a straight line: identities to 1e-6."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import rdc_dyn
from rdc_dyn.scenario import load

SCENARIOS = sorted((Path(__file__).parents[2] / "scenarios").glob("digits_transfer_*.yaml"))
SLOPE = -400.0


def check(run: xr.Dataset, *, geodesic: bool) -> None:
    assert run.attrs["status"] == "COMPLETED"
    assert float(abs(run.rdc.free_energy_closure()).max()) < 1e-6
    assert float(abs(run.rdc.first_law_residual()).max()) < 1e-6
    assert float(abs(run.rdc.drift("classification_loss")).max()) < 1e-9
    assert float(run.rdc.maxwell_residual().max()) < 1e-7
    assert float(run.rdc.hessian_eigenvalues().max()) < 0
    assert float(run.equilibrium_residual.max()) < 1e-9
    assert set(run.rdc.hessian_eigenvalues().dims) == {"time", "eigenvalue"}
    np.testing.assert_allclose(run.data_position, run.time, atol=1e-12)
    if geodesic:
        assert run.rdc.geodesic_straightness() < 1e-6
        away = abs(run.rate - run.rate[0]) > 1e-5
        slope = ((run.distortion - run.distortion[0]) / (run.rate - run.rate[0]))[away]
        assert float(abs(slope / SLOPE - 1).max()) < 1e-6


def test_there_is_a_scenario_for_each() -> None:
    assert len(SCENARIOS) == 4
    assert {load(s).process.kind for s in SCENARIOS} == {"iso_classification_transfer", "geodesic_transfer"}


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.stem)
def test_all_digits(scenario: Path) -> None:
    check(rdc_dyn.run(scenario), geodesic="geodesic" in scenario.stem)


@pytest.mark.slow
def test_where_a_transfer_ends_does_not_depend_on_the_way_of_the_data() -> None:
    """At t = 1 λ and C are given for (32), D − kR and C for (30): mixture and transport meet there."""
    ends: dict[str, list[xr.Dataset]] = {}
    for scenario in SCENARIOS:
        ends.setdefault(load(scenario).process.kind, []).append(rdc_dyn.run(scenario).isel(time=-1))
    for one, two in ends.values():
        for name in ("lam", "gamma", "rate", "distortion", "classification_loss", "free_energy"):
            assert float(one[name]) == pytest.approx(float(two[name]), abs=1e-7), name


@pytest.mark.slow
@pytest.mark.parametrize(
    "scenario", [pytest.param(s, marks=pytest.mark.slow if "transport" in s.stem else [], id=s.stem) for s in SCENARIOS]
)
def test_the_first_fifth(scenario: Path) -> None:
    tree = load(scenario).model_dump(by_alias=True)
    tree["process"]["span"] = [0.0, 0.2]
    run = rdc_dyn.run(tree)
    check(run, geodesic="geodesic" in scenario.stem)
    assert float(abs(run.distortion - run.distortion[0]).max()) > 0.5

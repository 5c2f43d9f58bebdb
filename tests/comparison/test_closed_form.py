"""The exact surface and the exact path against reference values, differences, identities and a run."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rdc_dyn.comparison.exact_path import LOOSER, ExactPathError, closed_form, exact_path
from rdc_dyn.objective.closed_form import ClosedForm
from rdc_dyn.scenario import Scenario, from_mapping
from tests.problems import oracle
from tests.tiny import linear_gaussian


def scenario(process: dict[str, Any], path: str = "mixture", problem: dict[str, Any] | None = None) -> Scenario:
    """Ours, or with the problem of the reference values."""
    tree = linear_gaussian()
    if problem is None:
        target = (np.array(tree["objective"]["source_second_moment"]) * 0.8 + 0.3 * np.eye(5)).tolist()
        tree["objective"] |= {"target_second_moment": target}
    else:
        tree["objective"] = {"kind": "linear_gaussian", **copy.deepcopy(problem)}
        tree["start"] |= {"lam": 6.0, "gamma": 8.0}
    return from_mapping(tree | {"process": process, "data": {"path": path}})


ISO = {"kind": "iso_classification", "span": [0.0, 0.4]}


def surface(path: str = "mixture", problem: dict[str, Any] | None = None) -> ClosedForm:
    found = closed_form(scenario(ISO, path, problem))
    assert found is not None
    return found


def test_surface_is_that_of_the_reference_values() -> None:
    known = oracle()
    exact = surface(problem=known["problem"])
    for point in known["points"]:
        here = exact.at(np.array(point["s"]))
        assert here.free_energy == pytest.approx(point["F"], abs=1e-12)
        assert here.gradient[2] == pytest.approx(point["dFdt"], abs=1e-12)
        np.testing.assert_allclose(here.losses, point["RDC"], atol=1e-12)
        np.testing.assert_allclose(here.matrix, point["response"], atol=1e-12)


@pytest.mark.parametrize("path", ["mixture", "optimal_transport"])
@pytest.mark.parametrize("at", [(4.0, 3.0, 0.3), (1.0, 0.4, 0.8), (0.3, 0.1, 0.5), (4.0, 0.0, 0.3)])
def test_derivatives_are_those_of_differences(path: str, at: tuple[float, ...]) -> None:
    exact, here = surface(path), np.array(at)
    point, h = exact.at(here), 1e-5
    shifts = h * np.eye(3)
    for i in range(3):
        if here[i] > 0:
            fine = [exact.at(here + sign * shifts[i]) for sign in (1, -1)]
            slope = (fine[0].free_energy - fine[1].free_energy) / (2 * h)
            assert point.gradient[i] == pytest.approx(slope, abs=1e-8)
            row = (fine[0].gradient - fine[1].gradient) / (2 * h)
            np.testing.assert_allclose(point.hessian[i], row, atol=1e-7)
            moved = (fine[0].losses - fine[1].losses) / (2 * h)
            np.testing.assert_allclose(point.matrix[:, i], moved, atol=1e-7)


@pytest.mark.parametrize("path", ["mixture", "optimal_transport"])
def test_identities_of_the_surface(path: str) -> None:
    point = surface(path).at(np.array([4.0, 3.0, 0.3]))
    assert point.active == 2
    np.testing.assert_allclose(point.hessian, point.hessian.T, atol=1e-14)
    assert np.linalg.eigvalsh(point.hessian[:2, :2]).max() <= 0
    law = point.matrix[0] + point.controls[0] * point.matrix[1] + point.controls[1] * point.matrix[2]
    np.testing.assert_allclose(law, [0, 0, point.gradient[2]], atol=1e-13)


def test_ends_of_the_transport_are_source_and_target() -> None:
    mixed, moved = surface("mixture"), surface("optimal_transport")
    for t in (0.0, 1.0):
        here = np.array([4.0, 3.0, t])
        assert moved.at(here).free_energy == pytest.approx(mixed.at(here).free_energy, abs=1e-12)
    here = np.array([4.0, 3.0, 0.5])
    assert abs(moved.at(here).free_energy - mixed.at(here).free_energy) > 1e-5


@pytest.mark.parametrize("path", ["mixture", "optimal_transport"])
@pytest.mark.parametrize("kind", ["iso_transfer", "geodesic"])
def test_transfers_are_those_of_the_reference_values(kind: str, path: str) -> None:
    known = oracle()
    values = known[f"{kind}_{path}"]
    if kind == "geodesic":
        process = {"kind": "geodesic_transfer", "slope": values["slope_dD_dR"]}
    else:
        process = {"kind": "iso_classification_transfer", "lam_rate": values["lam_rate"]}
    made = scenario(process, path, known["problem"])
    exact = exact_path(made, surface(path, known["problem"]), np.array(values["start"]))
    for row in values["path"]:
        got = exact.losses_and_multipliers(np.array([row["t"]]))[0]
        np.testing.assert_allclose(got, [row["lam"], row["gam"], *row["RDC"]], atol=1e-9)


def test_iso_classification_is_the_curve_of_the_reference_values() -> None:
    """The curve is given by λ; the path by its arclength, which this sums up from the curve's own points."""
    known = oracle()
    curve, exact = known["iso_classification"], surface(problem=known["problem"])
    path = exact_path(scenario(ISO | {"span": [0.0, 4.0]}, problem=known["problem"]), exact, np.array(curve["start"]))
    rows = path.losses_and_multipliers(np.linspace(0, 3.5, 71))
    gamma = np.interp(curve["lam"], rows[:, 0], rows[:, 1])
    np.testing.assert_allclose(gamma, curve["gam"], atol=1e-6)  # of linear interpolation
    assert np.ptp(rows[:, 4]) < 1e-13
    assert np.linalg.norm(np.diff(rows[:, :2], axis=0), axis=1) == pytest.approx(0.05, abs=1e-8)


@pytest.mark.parametrize(
    "process",
    [
        ISO,
        ISO | {"span": [0.4, 0.0]},
        ISO | {"clock": "rate_distortion"},
        {"kind": "iso_functional", "span": [0.0, 0.3], "hold": {"rate": 1.0, "distortion": 0.5}},
        {"kind": "iso_classification_transfer", "lam_rate": 0.3},
        {"kind": "geodesic_transfer", "slope": -2.0},
        {"kind": "prescribed", "path": {"lam": 5.0, "gamma": 4.0}, "shape": "exponential"},
    ],
    ids=lambda process: process["kind"],
)
def test_path_does_not_depend_on_tolerance_or_stops(process: dict[str, Any]) -> None:
    start, made = np.array([4.0, 3.0, 0.0]), scenario(process | {"span": process.get("span", [0.0, 1.0])})
    made = made.model_copy(update={"start": made.start.model_copy(update={"lam": 4.0, "gamma": 3.0})})
    path = exact_path(made, surface(), start)
    ends = np.array(made.process.span)
    direct, loose = (
        path.losses_and_multipliers(ends)[-1],
        replace(path, rtol=LOOSER, known={}).losses_and_multipliers(ends)[-1],
    )
    stops = exact_path(made, surface(), start).losses_and_multipliers(np.linspace(ends[0], ends[1], 5))[-1]
    np.testing.assert_allclose(stops, direct, atol=1e-12)
    np.testing.assert_allclose(loose, direct, atol=1e-10)


def test_a_pitchfork_is_told() -> None:
    process = {"kind": "prescribed", "span": [0.0, 1.0], "path": {"lam": 0.05, "gamma": 0.01}}
    exact = surface()
    path = exact_path(scenario(process), exact, np.array([4.0, 3.0, 0.0]))
    path.points(np.linspace(0, 1, 21))
    ((before, after), *_) = path.pitchforks()
    assert 0 < before < after <= 1
    assert exact.at(path.known[before].controls).active > exact.at(path.known[after].controls).active


def test_a_path_that_does_not_go_on_says_where() -> None:
    process = {"kind": "iso_classification", "span": [0.0, 60.0]}
    path = exact_path(scenario(process), surface(), np.array([0.02, 0.02, 0.0]))
    assert surface().at(np.array([0.02, 0.02, 0.0])).active == 0
    with pytest.raises(ExactPathError, match="at clock 0"):  # no code is in use: C depends on nothing
        path.points(np.array([0.0, 1.0]))


def test_other_objectives_have_none() -> None:
    assert closed_form(from_mapping(linear_gaussian(objective={"weight_prior_precision": 0.1}))) is None

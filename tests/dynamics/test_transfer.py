"""Transfers between tasks on the linear-Gaussian surface, against root finding and closed forms."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest
import torch
from scipy.optimize import brentq

import rdc_dyn
from rdc_dyn.comparison.exact_path import closed_form
from rdc_dyn.dynamics import (
    GeodesicTransfer,
    Integrator,
    IsoFunctional,
    IsoFunctionalTransfer,
    Prescribed,
    Process,
    SurfacePoint,
    linear_response,
)
from rdc_dyn.linalg import Dense
from rdc_dyn.objective import LinearGaussian
from rdc_dyn.read import accessor  # noqa: F401  # registers ds.rdc
from rdc_dyn.record import Record
from rdc_dyn.scenario import from_mapping
from rdc_dyn.status import NumericalFailure, Status, UserError
from rdc_dyn.store.dataset import to_dataset
from tests import tiny
from tests.problems import (
    closed_form_hessian,
    controls,
    equilibrium,
    linear_gaussian,
    oracle,
    oracle_objective,
    points_and_events,
    problem,
    trajectory,
)

Path = Literal["mixture", "optimal_transport"]
PATHS: tuple[Path, ...] = ("mixture", "optimal_transport")


def pair(shape: tuple[int, int, int], path: Path = "mixture") -> LinearGaussian:
    """A source and a target near enough that the transfers tested here stay inside the surface."""
    far = linear_gaussian(*shape)
    assert far.target is not None
    target = 0.75 * far.source + 0.25 * far.target
    return replace(far, target=target, path=path)


def run_reference(kind: str, path: Path, process_of: type, key: str) -> tuple[list[Record], dict[str, Any]]:
    reference = oracle()
    curve = reference[f"{kind}_{path}"]
    start = curve["start"]
    run = problem(
        oracle_objective(reference["problem"], path), process_of((0.0, 1.0), curve[key]), start[0], start[1],
        Integrator("rk4"), 0.1,
    )  # fmt: skip
    records, status = trajectory(run)
    assert status == "COMPLETED"
    return records, curve


def compare(records: list[Record], curve: dict[str, Any]) -> None:
    """(λ, γ) and (R, D, C) at every listed t, to 1e-7."""
    by_time = {round(r.time, 9): r for r in records}
    assert len(curve["path"]) >= 5
    for point in curve["path"]:
        record = by_time[round(point["t"], 9)]
        assert record.values["data_position"] == pytest.approx(point["t"], abs=1e-12)
        found = [record.values[n] for n in ("lam", "gamma", "rate", "distortion", "classification_loss")]
        np.testing.assert_allclose(found, [point["lam"], point["gam"], *point["RDC"]], atol=1e-7, rtol=0)


@pytest.mark.parametrize("path", PATHS)
def test_oracle_iso_classification_transfer(path: Path) -> None:
    """(32), for the mixture and for optimal transport."""
    records, curve = run_reference("iso_transfer", path, IsoFunctionalTransfer, "lam_rate")
    compare(records, curve)
    assert max(abs(r.values["constraint_residual"]) for r in records) <= 1e-10


@pytest.mark.parametrize("path", PATHS)
def test_oracle_geodesic(path: Path) -> None:
    """(30): (R, D) on one line to 1e-9, C constant to 1e-10."""
    records, curve = run_reference("geodesic", path, GeodesicTransfer, "slope_dD_dR")
    compare(records, curve)
    ds = to_dataset(records, {})
    assert ds.rdc.geodesic_straightness() <= 1e-9
    assert float(abs(ds.rdc.drift()).max()) <= 1e-10
    slope = (ds.distortion[-1] - ds.distortion[0]) / (ds.rate[-1] - ds.rate[0])
    assert float(slope) == pytest.approx(curve["slope_dD_dR"], abs=1e-9)


@pytest.mark.parametrize("path", PATHS)
def test_any_functional_stays_constant_while_the_data_change(path: Path) -> None:
    """Remark 8 while fine-tuning, against γ(t) with h(λ₀ + kt, γ, t) = h⁰ by root finding on the closed form."""
    weights, rate = (0.2, -0.1, 1.0), 0.4
    tree = tiny.linear_gaussian() | {"data": {"path": path}}
    source = np.array(tree["objective"]["source_second_moment"])
    tree["objective"]["target_second_moment"] = (1.3 * source[::-1, ::-1]).tolist()
    tree["start"] = {"lam": 2.0, "gamma": 3.0}
    hold = dict(zip(("rate", "distortion", "classification_loss"), weights, strict=True))
    tree["process"] = {"kind": "iso_functional_transfer", "hold": hold, "lam_rate": rate}
    tree["integrator"] = {"method": "rk4", "step_size": 0.1}
    ds = rdc_dyn.run(tree)
    surface = closed_form(from_mapping(tree))
    assert surface is not None and ds.attrs["status"] == "COMPLETED"

    def held(gamma: float, t: float) -> float:
        return float(np.dot(weights, surface.at(np.array([2.0 + rate * t, gamma, t])).losses))

    wanted = held(3.0, 0.0)
    for t, lam, gamma in zip(ds["time"].values, ds.lam.values, ds.gamma.values, strict=True):
        assert lam == pytest.approx(2.0 + rate * t, abs=1e-9)
        assert gamma == pytest.approx(brentq(lambda g, t=t: held(g, t) - wanted, 1.0, 9.0, xtol=1e-13), abs=1e-7)
    assert float(np.ptp(ds.gamma.values)) > 0.05


def reading(slope: float, here: SurfacePoint, derivative: torch.Tensor) -> torch.Tensor:
    """(30) as it is printed, with what is to be read as ∂R/∂t."""
    wanted = torch.stack([slope / (1 + slope * here.controls[0]) * derivative, torch.zeros_like(derivative)])
    multipliers = torch.linalg.solve(here.matrix[1:, :2], wanted - here.matrix[1:, 2])
    return torch.cat([multipliers, torch.ones_like(multipliers[:1])])


class WrongReading(GeodesicTransfer):
    """(30) with ∂R/∂t read as the derivative of R along the surface at fixed multipliers."""

    def rates(self, s: float, here: SurfacePoint) -> torch.Tensor:
        return reading(self.slope, here, here.matrix[0, 2])


@pytest.mark.parametrize("path", PATHS)
def test_right_reading_of_the_geodesic_without_weight_prior(path: Path) -> None:
    """∂R/∂t at fixed (D, C) is ∂F/∂t at fixed (λ, γ): then (30) and the rows of M agree, in a rank-deficient case."""
    at = equilibrium(pair((4, 2, 2), path), controls(4.0, 5.0, 0.3))
    response = linear_response(at, Dense(), 0.0)
    here = SurfacePoint(at.controls, response.matrix, response.forces)
    rates = GeodesicTransfer((0.0, 1.0), -3.0).rates(0.3, here)
    torch.testing.assert_close(rates, reading(-3.0, here, response.forces[2]), rtol=1e-9, atol=1e-10)
    assert float((rates - reading(-3.0, here, response.matrix[0, 2])).norm()) > 1e-1


def test_geodesic_with_a_weight_prior_is_straight_without_a_corrector() -> None:
    """dR + dΩ = −λ dD − γ dC + ∂_tF dt: (30) as printed leaves Ω̇ out and bends."""
    objective = replace(pair((4, 2, 2)), weight_prior_precision=0.1)
    run = problem(objective, GeodesicTransfer((0.0, 0.2), -3.0), 4.0, 5.0, Integrator("rk4"), 0.0125, corrector=False)
    records, status = trajectory(run)
    assert status == "COMPLETED"
    first, last = records[0].values, records[-1].values
    assert abs(last["weight_penalty"] - first["weight_penalty"]) > 1e-3
    change = (last["rate"] - first["rate"], last["distortion"] - first["distortion"])
    assert abs(change[1] + 3.0 * change[0]) / np.hypot(*change) < 1e-4


def test_the_wrong_reading_of_the_geodesic_is_not_straight() -> None:
    """Two codes for six components: rank deficient, where the two readings differ."""
    objective = pair((4, 2, 2))
    ends = {}
    for process_of in (GeodesicTransfer, WrongReading):
        run = problem(
            objective, process_of((0.0, 0.2), -3.0), 4.0, 5.0, Integrator("rk4"), 0.0125, corrector=False
        )  # fmt: skip
        records, status = trajectory(run)
        assert status == "COMPLETED"
        first, last = records[0].values, records[-1].values
        assert abs(last["classification_loss"] - first["classification_loss"]) < 1e-4
        change = (last["rate"] - first["rate"], last["distortion"] - first["distortion"])
        ends[process_of] = abs(change[1] + 3.0 * change[0]) / np.hypot(*change)
    assert ends[GeodesicTransfer] < 1e-4
    assert ends[WrongReading] > 1e-1


@pytest.mark.parametrize("path", [PATHS[0], *(pytest.param(p, marks=pytest.mark.slow) for p in PATHS[1:])])
@pytest.mark.parametrize(
    "shape", [(4, 1, 3), *(pytest.param(shape, marks=pytest.mark.slow) for shape in ((3, 2, 2), (4, 2, 2)))]
)
def test_transfers_of_our_own(shape: tuple[int, int, int], path: Path) -> None:
    """Other dimensions and ranks: what is held, the closed form at the end, and the work along the path."""
    objective = pair(shape, path)
    processes: list[Process] = [
        IsoFunctionalTransfer((0.0, 0.5), 0.4),
        GeodesicTransfer((0.0, 0.5), -3.0),
        Prescribed((0.0, 1.0), (3.0, 4.0), (4.0, 3.0), (0.1, 0.6)),
    ]
    for process in processes:
        start = process.span[0] if not isinstance(process, Prescribed) else 0.1
        run = problem(objective, process, 3.0, 4.0, Integrator("rk4"), 0.05, data_position=start)
        records, status = trajectory(run)
        assert status == "COMPLETED", process
        ds = to_dataset(records, {})
        if process.held:
            assert float(abs(ds.constraint_residual).max()) <= 1e-10
        change = float(abs(ds.free_energy[-1] - ds.free_energy[0]))
        assert float(abs(ds.rdc.free_energy_closure()).max()) < 1e-5 * max(1.0, change)
        assert float(abs(ds.rdc.first_law_residual()).max()) < 1e-5 * max(1.0, change)
        if path == "mixture":
            last = ds.isel(time=-1)
            c = controls(float(last.lam), float(last.gamma), float(last.data_position))
            gradient, hessian = closed_form_hessian(objective, c)
            assert float(last.free_energy_data_derivative) == pytest.approx(float(gradient[2]), abs=1e-8)
            assert float(last.free_energy_data_curvature) == pytest.approx(float(hessian[2, 2]), abs=1e-7)


@pytest.mark.parametrize("path", PATHS)
def test_third_column_is_the_derivative_of_the_equilibrium(path: Path) -> None:
    objective = pair((4, 2, 2), path)
    h, centre = 1e-3, controls(3.0, 4.0, 0.4)
    column = linear_response(equilibrium(objective, centre), Dense(), 0.0).matrix[:, 2]
    around = [
        equilibrium(objective, controls(3.0, 4.0, 0.4 + k * h), tolerance=1e-12).functionals for k in (-2, -1, 1, 2)
    ]
    difference = (around[0] - 8 * around[1] + 8 * around[2] - around[3]) / (12 * h)
    torch.testing.assert_close(column, difference, rtol=1e-7, atol=1e-8)


def test_optimal_transport_reaches_both_ends() -> None:
    objective = pair((4, 2, 2), "optimal_transport")
    assert objective.target is not None
    for t, moment in ((0.0, objective.source), (1.0, objective.target)):
        torch.testing.assert_close(objective.second_moment(torch.tensor(t).double()), moment)


@pytest.mark.parametrize(
    "method, order, steps",
    [
        pytest.param("euler", 1, (0.02, 0.01, 0.005), marks=pytest.mark.slow),
        pytest.param("midpoint", 2, (0.1, 0.05, 0.025), marks=pytest.mark.slow),
        pytest.param("heun3", 3, (0.125, 0.0625, 0.03125), marks=pytest.mark.slow),
        ("rk4", 4, (0.125, 0.0625, 0.03125)),
    ],
)
@pytest.mark.parametrize("transfer", [pytest.param("iso", marks=pytest.mark.slow), "geodesic"])
def test_orders_of_the_transfers(transfer: str, method: str, order: int, steps: tuple[float, ...]) -> None:
    process: Process = IsoFunctionalTransfer((0.0, 0.5), 0.4)
    if transfer == "geodesic":
        process = GeodesicTransfer((0.0, 0.5), 2.0)

    def end(method: str, h: float) -> np.ndarray:
        run = problem(
            pair((3, 2, 2)), process, 3.0, 4.0, Integrator(method), h, corrector=False, look_ahead=False
        )  # fmt: skip
        records, status = trajectory(run)
        assert status == "COMPLETED"
        return np.array([records[-1].values[n] for n in ("lam", "gamma", "rate", "distortion", "classification_loss")])

    exact = end("dopri8", 0.0625)
    errors = [float(np.abs(end(method, h) - exact).max()) for h in steps]
    assert min(errors) > 1e-11
    assert np.polyfit(np.log(steps), np.log(errors), 1)[0] == pytest.approx(order, abs=0.2), errors


def test_geodesic_is_singular_at_the_slope_of_the_iso_classification_curve() -> None:
    at = equilibrium(linear_gaussian(), controls(4.0, 5.0))
    response = linear_response(at, Dense(), 0.0)
    here = SurfacePoint(at.controls, response.matrix, response.forces)
    with pytest.raises(NumericalFailure) as failure:
        GeodesicTransfer((0.0, 1.0), -0.25).rates(0.0, here)
    assert failure.value.status is Status.SINGULAR_GEODESIC


def test_toward_finds_the_slope_of_the_line_to_an_equilibrium() -> None:
    """Where a geodesic of slope k ends, the one that aims at its end has the slope k and the same path."""
    objective = pair((4, 2, 2))
    given, _ = trajectory(problem(objective, GeodesicTransfer((0.0, 1.0), -3.0), 4.0, 5.0, Integrator("rk4"), 0.1))
    lam, gamma = given[-1].values["lam"], given[-1].values["gamma"]
    way = Prescribed((0.0, 1.0), (4.0, lam), (5.0, gamma), (0.0, 1.0))
    aiming = replace(problem(objective, way, 4.0, 5.0, Integrator("rk4"), 0.1), aims=True)
    points, events = points_and_events(aiming)
    assert events[0].kind == "aimed"
    assert events[0].values["slope"] == pytest.approx(-3.0, rel=1e-8)
    assert events[-1].values["status"] == "COMPLETED"
    assert [p.time for p in points] == [r.time for r in given]
    assert points[-1].state.lam == pytest.approx(lam, rel=1e-8)
    assert points[-1].state.gamma == pytest.approx(gamma, rel=1e-8)


def test_toward_a_point_that_is_not_at_the_classification_loss_of_the_start() -> None:
    """The message says by how much, and a gamma that is closer."""
    objective = pair((4, 2, 2))
    way = Prescribed((0.0, 1.0), (4.0, 4.0), (5.0, 6.0), (0.0, 1.0))
    off = replace(problem(objective, way, 4.0, 5.0, Integrator("rk4"), 0.1), aims=True)
    with pytest.raises(UserError, match="off by") as error:
        points_and_events(off)
    assert error.value.exit_code == 2
    start, goal = equilibrium(objective, controls(4.0, 5.0)), equilibrium(objective, controls(4.0, 6.0, 1.0))
    excess = float(goal.functionals[2] - start.functionals[2])
    assert f"off by {excess:.3g}" in str(error.value)
    closer = float(str(error.value).split("gamma = ")[-1].split(" ")[0])
    nearer = equilibrium(objective, controls(4.0, closer, 1.0))
    assert abs(float(nearer.functionals[2] - start.functionals[2])) < 0.5 * abs(excess)


@pytest.mark.parametrize("weights", [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.5, 0.0, 1.0)])
def test_iso_functional(weights: tuple[float, float, float]) -> None:
    """Iso-rate, iso-distortion, and C + R/β with β = 2."""
    records, status = trajectory(
        problem(linear_gaussian(), IsoFunctional((0.0, 1.0), weights), 3.0, 4.0, Integrator("rk4"), 0.1)
    )
    assert status == "COMPLETED"
    held = [
        float(np.dot(weights, [r.values[n] for n in ("rate", "distortion", "classification_loss")])) for r in records
    ]
    assert max(abs(h - held[0]) for h in held) <= 1e-10
    assert abs(records[-1].values["classification_loss"] - records[0].values["classification_loss"]) > 1e-3

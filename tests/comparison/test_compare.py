"""Comparisons of made-up runs, whose errors are known, and of real ones."""

from __future__ import annotations

import csv
import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner

from rdc_dyn.cli import main
from rdc_dyn.comparison import cheapest, compare, show
from rdc_dyn.read.plots.work_precision import plot_work_precision
from rdc_dyn.running.runner import run
from rdc_dyn.status import DataError, RunWarning, UserError
from rdc_dyn.store.sweep_directory import sealed
from tests.comparison.made import STEPS, write_run, write_series
from tests.output.figures import clipped
from tests.tiny import linear_gaussian


def order(comparison: xr.Dataset, series: str, quantity: str = "error_losses") -> tuple[float, float, float, int]:
    one = comparison.sel(series_name=series, quantity=quantity)
    return float(one.order), float(one.order_low), float(one.order_high), int(one.order_points)


def at_floor(comparison: xr.Dataset, quantity: str = "error_losses") -> list[str]:
    return [str(r) for r in comparison.run.values[comparison.at_floor.sel(quantity=quantity).values]]


# --- made-up runs -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [1, 2, 4])
def test_the_law_of_the_errors_is_found(tmp_path: Path, p: int) -> None:
    write_series(tmp_path, lambda h: h**p * (1 + 0.2 * h))
    found = compare(tmp_path, "exact")
    value, low, high, points = order(found, "euler")
    assert low < p + 0.02 < high + 0.2
    assert value == pytest.approx(p, abs=0.05)
    assert points == 4
    assert not at_floor(found)
    error = float(found.error_losses.sel(run="h0.25"))
    assert error == pytest.approx(0.25**p * 1.05)
    assert float(found.error_multipliers.sel(run="h0.25")) == pytest.approx(error)
    assert np.isnan(found.error_losses.sel(run="exact"))


def test_points_at_the_floor_are_left_out_and_why(tmp_path: Path) -> None:
    write_series(tmp_path, lambda h: h**4 + 6e-5)
    found = compare(tmp_path, "exact")
    assert at_floor(found) == ["h0.0625", "h0.03125"]
    value, _, _, points = order(found, "euler")
    assert points == 2
    assert value == pytest.approx(4, abs=0.35)


def test_a_series_at_its_floor_has_no_order_and_says_so(tmp_path: Path) -> None:
    write_series(tmp_path, lambda h: 1e-5 * (1 + 0.1 * np.sin(50 * h)))
    found = compare(tmp_path, "exact")
    assert set(at_floor(found)) == {f"h{h}" for h in STEPS}
    assert np.isnan(order(found, "euler")[0])
    assert "at floor" in show(found)
    assert "no longer reduce it" in show(found)


def test_rounding_is_a_floor_without_any_series(tmp_path: Path) -> None:
    write_run(tmp_path / "one", 0.25, 1e-15)
    write_run(tmp_path / "exact", 0.125, 0.0)
    found = compare(tmp_path, "exact")
    assert "one" in at_floor(found)


def test_the_finest_is_the_run_with_most_steps_of_highest_order(tmp_path: Path) -> None:
    for h in STEPS:
        write_run(tmp_path / f"h{h}", h, h)
    write_run(tmp_path / "fourth", 0.0625, 0.0, integrator={"method": "rk4", "step_size": 0.0625})
    found = compare(tmp_path)
    assert set(found.reference.values) == {"fourth"}
    assert "finest run fourth" in found.attrs["reference"]


def test_clocks_that_share_only_their_ends_are_interpolated(tmp_path: Path) -> None:
    write_run(tmp_path / "coarse", 1 / 3, 1e-3)
    write_run(tmp_path / "exact", 0.03125, 0.0)
    found = compare(tmp_path, "exact")
    assert float(found.error_losses.sel(run="coarse")) == pytest.approx(1e-3, rel=1e-6)


def test_failed_runs_are_listed_and_left_out(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    write_series(runs, lambda h: h)
    write_run(runs / "stopped", 0.2, 0.5, status="FOLD")
    (runs / "broken").mkdir()
    (runs / "broken" / "trajectory.nc").write_bytes(b"no netCDF")
    (tmp_path / "failed").mkdir()
    failure = {"name": "abc", "values": {"integrator.step_size": 0.4}, "exit_code": 2, "message": "no such data"}
    (tmp_path / "failed" / "abc.json").write_bytes(sealed(failure))
    found = compare(tmp_path, "exact")
    assert order(found, "euler")[3] == 4
    assert str(found.status.sel(run="stopped").item()) == "FOLD"
    assert float(found.error_losses.sel(run="stopped")) == pytest.approx(0.5)
    assert float(found.integrator_step_size.sel(run="abc")) == 0.4
    text = show(found)
    assert "3 of 8 runs did not complete" in text
    assert "no such data" in text
    assert "UNREADABLE" in text
    assert max(map(len, text.splitlines())) <= 100


def test_different_problems_have_references_of_their_own(tmp_path: Path) -> None:
    for seed in (0, 1):
        for h in (0.25, 0.125, 0.0625):
            write_run(tmp_path / f"s{seed}-{h}", h, h * (1 + seed), seed=seed)
    found = compare(tmp_path)
    assert set(found.reference.values) == {"s0-0.0625", "s1-0.0625"}
    assert set(found.series.values) == {"euler, seed=0", "euler, seed=1"}
    assert found.seed.dtype.kind == "i" and found.integrator_step_size.dtype.kind == "f"
    assert found.integrator_step_size.attrs["scenario_key"] == "integrator.step_size"
    assert "at most, problem 2 of 2" in show(found)
    with pytest.raises(UserError, match=r"2 different problems.*seed \(0 in s0-0.0625, 1 in s1-0.0625\)"):
        compare(tmp_path, "s0-0.0625")


def test_other_data_are_another_problem(tmp_path: Path) -> None:
    write_run(tmp_path / "a", 0.25, 0.0)
    write_run(tmp_path / "b", 0.25, 0.0, digest="other")
    with pytest.raises(UserError, match="data_digest"):
        compare(tmp_path, "a")


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("exakt", "did you mean exact?"),
        ("h0", "4 runs begin so"),
        ("closed_form", "use finest or a run"),
        ("zzz", "expected closed_form, finest or a run such as"),
    ],
)
def test_mistakes_in_the_reference(tmp_path: Path, reference: str, message: str) -> None:
    write_series(tmp_path, lambda h: h)
    done = CliRunner().invoke(main, ["compare", str(tmp_path), "--reference", reference])
    assert done.exit_code == 2
    assert message in done.output.replace("\n", " ")
    assert len(done.output.splitlines()) == 1


def test_mistakes_in_paths(tmp_path: Path) -> None:
    for arguments, code in (
        ([str(tmp_path)], 4),
        ([str(tmp_path / "none")], 4),
        ([str(tmp_path), "-o", "figure.txt"], 2),
        ([str(tmp_path), "--csv", str(tmp_path / "none" / "a.csv")], 4),
        ([], 2),
    ):
        assert CliRunner().invoke(main, ["compare", *arguments]).exit_code == code, arguments
    write_run(tmp_path / "a" / "same", 0.25, 0.0)
    write_run(tmp_path / "b" / "same", 0.25, 0.0)
    with pytest.raises(DataError, match="two runs are named 'same'"):
        compare([tmp_path / "a", tmp_path / "b"])


def test_rtol_and_atol_that_move_together_are_one_tolerance(tmp_path: Path) -> None:
    for k in (4, 5, 6):
        for method in ("dopri5", "bosh3"):
            section = {"method": method, "step_size": 0.5, "rtol": 10.0**-k, "atol": 10.0 ** (-k - 2)}
            write_run(tmp_path / f"{method}-{k}", 0.5, 10.0**-k, integrator=section)
    write_run(tmp_path / "fixed", 0.03125, 0.0)
    found = compare(tmp_path, "fixed")
    assert set(found.series.values) == {"dopri5", "bosh3", "euler"}
    assert order(found, "dopri5")[0] == pytest.approx(1, abs=0.02)
    assert "error ~ rtol^p" in show(found)


def test_cheapest_of_each_decade(tmp_path: Path) -> None:
    write_series(tmp_path, lambda h: h)
    found = compare(tmp_path, "exact")
    best = [(bound, str(found.run.values[i])) for bound, i in cheapest(found)]
    assert best == [(1.0, "h0.25"), (0.1, "h0.0625")]


def test_a_figure_without_clipped_labels(tmp_path: Path) -> None:
    write_series(tmp_path, lambda h: h**2 + 1e-4)
    write_run(tmp_path / "stopped", 0.2, 0.5, status="FOLD")
    figure = plot_work_precision(compare(tmp_path, "exact"))
    assert not clipped(figure)
    legend = figure.legends[0]
    assert "did not complete" in legend.get_title().get_text()
    assert "order 1." in legend.get_texts()[0].get_text() or "order 2." in legend.get_texts()[0].get_text()
    bits = plot_work_precision(compare(tmp_path, "exact"), units="bits").axes[0]
    assert bits.get_ylabel() == "error of $(R, D, C)$ (bit)"
    one, other = (np.asarray(axes.lines[0].get_ydata(), dtype=float) for axes in (figure.axes[0], bits))
    np.testing.assert_allclose(other, one / np.log(2))


# --- real runs ----------------------------------------------------------------------------------------------------

METHODS = {"euler": 1, "midpoint": 2, "rk4": 4}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("real")
    for method in METHODS:
        for h in (0.5, 0.25, 0.125):
            for corrector in ({"method": "none"}, {"method": "newton_krylov", "tolerance": 1e-10}):
                tree = linear_gaussian(start={"equilibrate": {"tolerance": 1e-12}}, corrector=corrector)
                tree["process"] = {"kind": "iso_classification", "span": [0.0, 1.0]}
                tree["integrator"] = {"method": method, "step_size": h}
                run(tree, path / f"{method}-{h}-{corrector['method']}")
    return path


@pytest.fixture(scope="module")
def comparison(folder: Path) -> xr.Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("error", RunWarning)
        return compare(folder)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("quantity", ["error_multipliers", "error_losses", "error_held"])
def test_observed_orders(comparison: xr.Dataset, method: str, quantity: str) -> None:
    value, low, high, points = order(comparison, f"{method}, no corrector", quantity)
    expected = METHODS[method]
    assert points >= 2
    assert abs(value - expected) < 0.25 or low < expected < high
    assert float(comparison.method_order.sel(series_name=f"{method}, no corrector")) == expected


def test_the_reference_is_the_closed_form_and_far_better_than_the_runs(comparison: xr.Dataset) -> None:
    assert set(comparison.reference.values) == {"closed_form"}
    assert float(comparison.reference_error.max()) < 1e-11


def test_the_corrector_holds_what_is_held_to_its_floor(comparison: xr.Dataset) -> None:
    corrected = comparison.where(comparison.corrector_method == "newton_krylov", drop=True)
    assert corrected.sizes["run"] == 9
    assert (corrected.error_held < 1e-9).all()
    assert corrected.at_floor.sel(quantity="error_held").astype(bool).all()
    assert set(corrected.floor_reason.sel(quantity="error_held").values) == {"the corrector's tolerance"}
    euler = comparison.sel(run=["euler-0.125-none", "euler-0.125-newton_krylov"]).error_losses.values
    assert euler[1] < 0.1 * euler[0]


def test_closed_form_and_finest_run_agree(folder: Path, comparison: xr.Dataset) -> None:
    other = compare(folder, "finest")
    assert set(other.reference.values) == {"rk4-0.125-newton_krylov"}
    for name in ("euler-0.25-none", "midpoint-0.25-none"):
        one = float(comparison.error_losses.sel(run=name))
        assert float(other.error_losses.sel(run=name)) == pytest.approx(one, rel=2e-3)


def test_files_read_back(folder: Path, comparison: xr.Dataset, tmp_path: Path) -> None:
    table, dataset, figure = tmp_path / "c.csv", tmp_path / "c.nc", tmp_path / "c.png"
    arguments = ["compare", str(folder), "--csv", str(table), "--netcdf", str(dataset), "-o", str(figure)]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    assert max(map(len, done.output.splitlines()[:-3])) <= 100
    rows = list(csv.DictReader(table.open(encoding="utf-8")))
    assert [row["run"] for row in rows] == list(comparison.run.values)
    assert [float(row["error_losses"]) for row in rows] == list(comparison.error_losses.values)
    with xr.open_dataset(dataset) as read:
        assert read.load().identical(comparison)
    assert figure.read_bytes()[:4] == b"\x89PNG"


def test_cost_is_counted_in_gradient_equivalents(folder: Path, comparison: xr.Dataset) -> None:
    with xr.open_dataset(folder / "rk4-0.25-none" / "trajectory.nc") as trajectory:
        first, last = trajectory.isel(time=0), trajectory.isel(time=-1)
        expected = float(last.gradient_evaluations - first.gradient_evaluations)
        expected += 0.8 * float(last.hessian_vector_products - first.hessian_vector_products)
    assert float(comparison.gradient_equivalents.sel(run="rk4-0.25-none")) == pytest.approx(expected)

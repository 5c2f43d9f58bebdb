"""Many runs as one lazy dataset; most of the runs are made up."""

from __future__ import annotations

import keyword
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import rdc_dyn
from rdc_dyn.read.open_sweep import open_sweep
from rdc_dyn.record import Event
from rdc_dyn.status import DataError, UserError
from rdc_dyn.store.dataset import to_dataset, write_netcdf
from rdc_dyn.store.lazy_run import open_lazily
from rdc_dyn.store.run_writer import RunWriter
from rdc_dyn.store.sweep_directory import FORMAT, coordinate_names, labels, read_sweep, sealed, unsealed
from rdc_dyn.sweeps import plan
from tests.tiny import ATTRIBUTES, linear_gaussian, record

_SOURCE = {"source": "rdc_dyn 0.1", "commit": "abc", "versions": "torch 2", "device": "cpu", "dtype": "float64"}
_MADE = ATTRIBUTES | _SOURCE | {"threads": 1, "scenario_sha256": "s", "data_digest": "d", "status_detail": ""}


def _run(times: Sequence[float] | np.ndarray, **attributes: Any) -> xr.Dataset:
    """R = 1 + t², λ = t, and a counter."""
    records = [record(t, lam=t, rate=1.0 + t * t, gradient_evaluations=float(i)) for i, t in enumerate(times)]
    return to_dataset(records, _MADE | attributes)


def _sweep(path: Path, keys: Sequence[str], points: Sequence[tuple[Mapping[str, Any], xr.Dataset | None]]) -> Path:
    listed = []
    for number, (values, trajectory) in enumerate(points):
        name = f"{number:012x}"
        listed.append({"name": name, "values": dict(values)})
        if trajectory is not None:
            (path / "runs" / name).mkdir(parents=True)
            write_netcdf(trajectory, path / "runs" / name / "trajectory.nc")
    content = {"format": FORMAT, "program": "rdc_dyn 0.1 abc", "scenario": "name: x\n", "keys": list(keys)}
    path.mkdir(exist_ok=True)
    (path / "sweep.json").write_bytes(sealed({**content, "points": listed}))
    return path


_SAME = [0.0, 0.1, 0.2, 0.3]


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two methods and two seeds on one clock; one run stopped early, one is missing."""
    stopped = _run(_SAME[:2], status="FOLD", status_message="a fold", status_detail="at 0.15")
    runs = [_run(_SAME), stopped, _run(_SAME), None]
    values = [{"integrator.method": m, "seed": s} for m in ("rk4", "euler") for s in (2, 1)]
    return _sweep(tmp_path_factory.mktemp("sweep") / "s", ["integrator.method", "seed"], list(zip(values, runs)))


def test_swept_keys_are_dimensions_and_variables_are_lazy(grid: Path) -> None:
    ds = open_sweep(grid)
    assert ds.rate.dims == ("integrator_method", "seed", "time")
    assert list(ds.integrator_method.values) == ["rk4", "euler"]  # words in their order
    assert list(ds.seed.values) == [1, 2] and ds.seed.dtype == np.int64  # numbers sorted
    assert ds.attrs["swept"] == ["integrator_method", "seed"]
    assert ds.integrator_method.attrs == {"long_name": "integrator.method", "scenario_key": "integrator.method"}
    assert ds.response.dims == ("integrator_method", "seed", "functional", "control", "time")
    assert all(ds[name].chunks is not None for name in ("rate", "lam", "response", "wall_time"))
    assert ds.rate.chunks == ((1, 1), (1, 1), (4,))
    assert ds.rate.attrs == {"long_name": "rate R on the training set", "units": "nat"}
    assert set(ds.coords) >= {"lam", "gamma", "data_position", "time"}


def test_values_are_those_of_the_runs_and_nan_where_there_are_none(grid: Path) -> None:
    ds = open_sweep(grid).load()
    np.testing.assert_array_equal(ds.rate.sel(integrator_method="rk4", seed=2), 1 + np.square(_SAME))
    stopped = ds.rate.sel(integrator_method="rk4", seed=1).values
    np.testing.assert_array_equal(stopped[:2], 1 + np.square(_SAME[:2]))
    assert np.isnan(stopped[2:]).all()
    assert ds.rate.sel(integrator_method="euler", seed=1).isnull().all()
    whole = ds.isel(integrator_method=0, seed=1)
    np.testing.assert_array_equal(whole.response, _run(_SAME).response)


@pytest.mark.slow
def test_its_plots_draw_each_run_that_has_points_by_what_was_swept(grid: Path) -> None:
    ds = rdc_dyn.open_sweep(grid)
    swept = [dim for dim in ds.free_energy.dims if dim != "time"]
    count = int(ds.free_energy.notnull().any("time").sum())
    figure = ds.rdc.plot_multipliers()
    names = [text.get_text() for text in figure.legends[0].get_texts()] if figure.legends else []
    names += [text.get_text() for axes in figure.axes if axes.get_legend() for text in axes.get_legend().get_texts()]
    first = str(ds[swept[0]].values[0])
    assert count > 1 and sum(first in name for name in names) >= 1
    assert len(ds.rdc.plot(backend="plotly").data) == count * 2 * 5
    with pytest.raises(UserError, match="plot_surface draws a surface"):
        ds.isel(time=0, drop=True).rdc.plot()


def test_provenance_is_kept_for_each_run(grid: Path) -> None:
    ds = open_sweep(grid)
    stopped = ds.sel(integrator_method="rk4", seed=1)
    assert (str(stopped.status.values), str(stopped.status_message.values)) == ("FOLD", "a fold (at 0.15)")
    assert str(stopped.run.values) == "000000000001"
    missing = ds.sel(integrator_method="euler", seed=1)
    assert str(missing.status.values) == "MISSING"
    assert np.isnan(missing.threads)
    assert str(stopped.commit.values) == "abc"
    assert {"device", "dtype", "threads", "versions", "scenario_sha256", "data_digest"} <= set(ds.data_vars)
    assert float(stopped.run_wall_time) == _run(_SAME[:2]).wall_time.values[-1]
    assert [int(n) for n in ds.points.isel(integrator_method=0)] == [2, 4]


def test_a_union_of_grids_leaves_a_key_out(tmp_path: Path) -> None:
    values: list[Mapping[str, Any]] = [
        {"integrator.method": "euler", "integrator.step_size": 0.1},
        {"integrator.method": "dopri5", "integrator.rtol": 1e-3},
    ]
    keys = ["integrator.method", "integrator.step_size", "integrator.rtol"]
    ds = open_sweep(_sweep(tmp_path / "s", keys, [(v, _run(_SAME)) for v in values]))
    assert {key.replace(".", "_"): 2 for key in keys}.items() <= ds.sizes.items()
    np.testing.assert_array_equal(ds.integrator_step_size, [0.1, np.nan])
    assert int(ds.rate.sel(integrator_step_size=0.1).isel(time=0).notnull().sum()) == 1
    assert int(ds.rate.isel(time=0).notnull().sum()) == 2
    assert list(ds.status.values.ravel()).count("") == 6


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([{"method": "none"}, {"method": "newton_krylov", "tolerance": 1e-8}], ["none", "newton_krylov"]),
        (
            [{"method": "cg", "rtol": 1e-3, "rank": 1}, {"method": "cg", "rtol": 1e-4, "rank": 1}],
            ["cg, rtol: 0.001", "cg, rtol: 0.0001"],
        ),
        ([[0.0, 1.0], [0.0, 2.0]], ["[0.0, 1.0]", "[0.0, 2.0]"]),
        ([None, 3], ["null", "3"]),
        ([True, False], ["true", "false"]),
        (["3", 3], ['"3"', "3"]),
        ([{"method": "cg", "rtol": 1}, {"method": "cg"}], ['{"method": "cg", "rtol": 1}', '{"method": "cg"}']),
        ([1, 2**64], ["1", "18446744073709551616"]),
    ],
)
def test_values_that_are_no_numbers_have_labels(values: list[Any], labels: list[str], tmp_path: Path) -> None:
    ds = open_sweep(_sweep(tmp_path / "s", ["key"], [({"key": v}, _run(_SAME)) for v in values]))
    assert list(ds["key"].values) == labels


def test_a_swept_section_that_is_named_as_a_variable(tmp_path: Path) -> None:
    values = [{"response": {"kind": kind}} for kind in ("secant", "linear_response")]
    ds = open_sweep(_sweep(tmp_path / "s", ["response"], [(v, _run(_SAME)) for v in values]))
    assert list(ds.scenario_response.values) == ["secant", "linear_response"]
    assert ds.scenario_response.attrs["scenario_key"] == "response"
    assert ds.response.dims == ("scenario_response", "functional", "control", "time")


@pytest.mark.parametrize(
    "key", ["integrator.method", "seed", "response", "objective.encoder.hidden.0", "", "0", "class"]
)
def test_a_dimension_is_a_valid_python_name(key: str) -> None:
    name = coordinate_names([key], {"response"})[key]
    assert name.isidentifier() and not keyword.iskeyword(name) and name != "response"


@pytest.mark.parametrize(
    ("values", "kind"),
    [([2, 1], "i"), ([2**53 + 1, 2**53], "i"), ([0.1, 2], "f"), ([1, None], "U"), ([1, True], "U"), ([1, "a"], "U")],
)
def test_numbers_are_numeric_coordinates_and_all_else_are_words(values: list[Any], kind: str, tmp_path: Path) -> None:
    ds = open_sweep(_sweep(tmp_path / "s", ["a.b"], [({"a.b": v}, _run(_SAME)) for v in values]))
    assert ds.a_b.dtype.kind == kind and ds.a_b.to_index().is_unique
    for number, label in enumerate(values if kind != "U" else labels(values).values()):
        assert ds.run.sel(a_b=label).item() == f"{number:012x}"


def test_an_opened_sweep_is_written_and_read_back(grid: Path, tmp_path: Path) -> None:
    ds = open_sweep(grid).load()
    write_netcdf(ds, tmp_path / "sweep.nc")
    with xr.open_dataset(tmp_path / "sweep.nc") as read:
        assert read.seed.dtype == np.int64 and read.sel(integrator_method="rk4", seed=2).rate.equals(
            ds.sel(integrator_method="rk4", seed=2).rate)  # fmt: skip


def test_two_keys_of_one_name_are_refused(tmp_path: Path) -> None:
    keys = ["start.lam", "start_lam"]
    words = "the keys start.lam and start_lam would both be the dimension start_lam"
    with pytest.raises(UserError, match=words) as caught:
        plan(linear_gaussian(), {key: [1.0] for key in keys})
    assert caught.value.exit_code == 2
    with pytest.raises(DataError, match=f"s: {words}"):
        open_sweep(_sweep(tmp_path / "s", keys, [(dict.fromkeys(keys, 1.0), _run(_SAME))]))


def test_other_clocks_are_interpolated_onto_the_union(tmp_path: Path) -> None:
    coarse, fine = np.linspace(0, 0.4, 5), np.linspace(0, 0.4, 9)
    shifted = np.array([0.0, 0.07, 0.15, 0.24, 0.4])
    runs = [_run(coarse), _run(fine), _run(shifted[:4])]
    path = _sweep(tmp_path / "s", ["seed"], [({"seed": i}, run) for i, run in enumerate(runs)])
    ds = open_sweep(path).load()
    union = np.unique(np.concatenate([fine, shifted]).round(9))
    np.testing.assert_allclose(ds.time, union, rtol=0, atol=1e-12)
    expected = 1 + union**2  # a spline through a parabola is the parabola
    np.testing.assert_allclose(ds.rate.isel(seed=0), expected, rtol=1e-12)
    np.testing.assert_allclose(ds.rate.isel(seed=1), expected, rtol=1e-12)
    beyond = union > 0.24
    np.testing.assert_allclose(ds.rate.isel(seed=2)[~beyond], expected[~beyond], rtol=1e-12)
    assert ds.rate.isel(seed=2)[beyond].isnull().all()
    given = open_sweep(path, clock=[0.05, 0.1]).rate
    np.testing.assert_allclose(given, np.tile(1 + np.square([0.05, 0.1]), (3, 1)), rtol=1e-12)


def test_nothing_is_interpolated_over_a_jump(tmp_path: Path) -> None:
    times = [0.0, 0.1, 0.2, 0.3]
    records = [record(t, rate=float(t > 0.15), jump_theta=float(t == 0.2)) for t in times]
    runs = [to_dataset(records, _MADE), _run(np.linspace(0, 0.3, 7))]
    ds = open_sweep(_sweep(tmp_path / "s", ["seed"], [({"seed": i}, r) for i, r in enumerate(runs)]))
    np.testing.assert_array_equal(ds.rate.isel(seed=0), [0, 0, 0, np.nan, 1, 1, 1])


def test_many_different_clocks_share_equidistant_times(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    clocks = [np.concatenate([[0.0], np.sort(rng.uniform(0.01, 0.99, 600)), [1.0]]) for _ in range(2)]
    ds = open_sweep(_sweep(tmp_path / "s", ["seed"], [({"seed": i}, _run(c)) for i, c in enumerate(clocks)]))
    np.testing.assert_allclose(ds.time, np.linspace(0, 1, 1000), atol=1e-15)
    np.testing.assert_allclose(ds.rate.isel(seed=1), 1 + ds.time**2, rtol=1e-9)


def test_a_run_that_changes_after_opening_is_refused(tmp_path: Path) -> None:
    runs = [({"seed": i}, _run(_SAME)) for i in range(2)]
    opened = open_sweep(_sweep(tmp_path / "s", ["seed"], runs))
    write_netcdf(_run(_SAME, title="another"), tmp_path / "s" / "runs" / f"{1:012x}" / "trajectory.nc")
    with pytest.raises(DataError, match="has changed since it was opened"):
        opened.rate.load()


def test_a_lazy_run_is_the_whole_trajectory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether its log is read or its `trajectory.nc`."""
    made = rdc_dyn.run(linear_gaussian(), tmp_path / "run")
    logged = open_lazily(tmp_path / "run")
    monkeypatch.setattr("rdc_dyn.store.lazy_run._SMALL", 0)
    stored = open_lazily(tmp_path / "run")
    for lazy in (logged, stored):
        assert lazy is not None
        assert lazy.dataset().identical(made)
        assert set(lazy.dataset("rate").variables) == {*made.coords, "rate"}
    assert logged is not None and set(logged.known) > {"rate"}
    assert stored is not None and set(stored.known) == {"time", "wall_time"}


def test_opening_writes_nothing(grid: Path) -> None:
    before = {file: file.stat().st_mtime_ns for file in grid.rglob("*")}
    open_sweep(grid).load()
    assert {file: file.stat().st_mtime_ns for file in grid.rglob("*")} == before


@pytest.mark.parametrize("name", ["../../victim", "..", "/etc", "a/b", "0123456789aB", "x" * 300, ""])
def test_a_name_that_is_not_ours_is_refused(tmp_path: Path, name: str) -> None:
    path = _sweep(tmp_path / "s", ["seed"], [({"seed": 1}, _run(_SAME))])
    content = unsealed((path / "sweep.json").read_bytes())
    content["points"].append({"name": name, "values": {"seed": 2}})
    (path / "sweep.json").write_bytes(sealed(content))
    with pytest.raises(DataError, match=r"sweep\.json: damaged .* is not the name of a run"):
        read_sweep(path)


def test_mixed_program_versions_are_refused(tmp_path: Path) -> None:
    runs = [_run(_SAME), _run(_SAME, commit="def")]
    path = _sweep(tmp_path / "s", ["seed"], [({"seed": i}, run) for i, run in enumerate(runs)])
    with pytest.raises(DataError, match=r"different program versions: 000000000000 by rdc_dyn 0\.1 abc .* and .* def"):
        open_sweep(path)


def test_two_runs_at_one_place_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="same values of the swept keys"):
        open_sweep(_sweep(tmp_path / "s", ["seed"], [({"seed": 1}, _run(_SAME))] * 2))


def test_nothing_to_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="not a sweep directory"):
        open_sweep(tmp_path)
    with pytest.raises(DataError, match="no run of this sweep has recorded a point"):
        open_sweep(_sweep(tmp_path / "s", ["seed"], [({"seed": 1}, None), ({"seed": 2}, _run([]))]))
    (tmp_path / "s" / "sweep.json").write_text("{}")
    with pytest.raises(DataError, match="damaged"):
        read_sweep(tmp_path / "s")
    monkeypatch.setitem(sys.modules, "dask.array", None)
    with pytest.raises(UserError, match="pip install"):
        open_sweep(tmp_path / "s")


_PROBE = """
import resource, sys, time
from rdc_dyn.read.open_sweep import open_sweep
start = time.perf_counter()
opened = open_sweep(sys.argv[1])
seconds = time.perf_counter() - start
mean = float(opened.rate.isel(time=-1).mean())
print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, mean)
"""


@pytest.mark.slow
def test_a_thousand_runs_open_in_a_moment(tmp_path: Path) -> None:
    times = np.linspace(0, 1, 101)
    first = _sweep(tmp_path / "s", ["seed"], [({"seed": 0}, None)])
    writer = RunWriter.create(tmp_path / "run", "name: x\n")
    writer.begin(_MADE)
    for t in times:
        writer.record(record(float(t), lam=t, rate=1.0 + t * t))
    writer.event(Event("end", 1.0, "done", {"status": "COMPLETED", "detail": ""}))
    writer.finish()
    manifest = unsealed((first / "sweep.json").read_bytes())
    manifest["keys"], manifest["points"] = ["seed", "start.lam"], []
    for number in range(1000):
        name = f"{number:012x}"
        shutil.copytree(tmp_path / "run", first / "runs" / name)
        manifest["points"].append({"name": name, "values": {"seed": number // 40, "start.lam": number % 40 / 8}})
    (first / "sweep.json").write_bytes(sealed(manifest))
    root = Path(rdc_dyn.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", _PROBE, str(first)], capture_output=True, text=True, cwd=root)
    assert done.returncode == 0, done.stderr
    seconds, gigabytes, mean = map(float, done.stdout.split())
    print(f"{seconds:.2f} s, {gigabytes:.3f} GB")
    assert mean == 2.0
    assert seconds < 5
    assert gigabytes < 1


@pytest.mark.slow
def test_runs_of_large_seeds_keep_apart_in_plots(tmp_path: Path) -> None:
    rdc_dyn.sweep(linear_gaussian(), {"seed": [1000001, 1000002]}, output=tmp_path / "sweep", threads=1)
    figure = rdc_dyn.open_sweep(tmp_path / "sweep").rdc.plot(backend="plotly")
    assert {trace.name for trace in figure.data if trace.showlegend} >= {"1000001", "1000002"}

"""Unusual mistakes at the command line, and what a user reads then; `test_cli` has the usual course of things."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import rdc_dyn
from rdc_dyn.cli import main
from rdc_dyn.scenario import dump, from_mapping, loads
from rdc_dyn.status import Status
from tests.tiny import images, linear_gaussian


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _keeps_signals() -> Any:
    """`run` installs a handler of SIGTERM, which must not outlive its test."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def _call(*arguments: str) -> Result:
    result = CliRunner().invoke(main, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    return result


def _write(tree: dict[str, Any], name: str = "s.yaml") -> str:
    Path(name).write_text(dump(from_mapping(tree)), encoding="utf-8")
    return name


def _run(tree: dict[str, Any], *options: str) -> Result:
    return _call("run", _write(tree), "-o", "out", *options)


def _refused(result: Result, code: int, *words: str) -> None:
    """One line on standard error, the exit code, and nothing on disk but what was there before."""
    assert result.exit_code == code, result.output
    assert len(result.stderr.splitlines()) == 1, result.stderr
    for word in words:
        assert word in result.stderr
    assert not Path("out").exists()


def test_version_works_without_installation() -> None:
    assert _call("--version").output.startswith("rdc-dyn, version ")


def test_a_geodesic_that_aims_beside_the_classification_loss_of_its_start() -> None:
    moment = linear_gaussian()["objective"]["source_second_moment"]
    target = [[v * (1.2 if i == j else 1.0) for j, v in enumerate(row)] for i, row in enumerate(moment)]
    tree = linear_gaussian(objective={"target_second_moment": target}, start={"lam": 2.0, "gamma": 2.0})
    tree["process"] = {"kind": "geodesic_transfer", "toward": {"lam": 2.0, "gamma": 2.5}}
    _refused(_run(tree), 2, "process.toward", "lam = 2, gamma = 2.5", "off by", "gamma = ")


def test_a_geodesic_from_an_earlier_run_along_its_iso_classification_curve() -> None:
    """λ is known only when the earlier run's checkpoint is read."""
    moment = linear_gaussian()["objective"]["source_second_moment"]
    objective = {"target_second_moment": moment}
    assert _call("run", _write(linear_gaussian(objective=objective)), "-o", "first").exit_code == 0
    tree = linear_gaussian(objective=objective)
    tree["start"] = {"from": "first"}
    tree["process"] = {"kind": "geodesic_transfer", "slope": -1 / 1.2}
    _refused(_run(tree), 2, "process.slope", "-1/lam at lam = 1.2")


def test_usage_errors() -> None:
    for arguments in (["rum"], ["run"], ["run", "s.yaml"], ["run", "s.yaml", "-o", "out", "--nope"], ["plot", "x"]):
        result = _call(*arguments)
        assert result.exit_code == 2
        assert "Error: " in result.stderr


def test_run_with_overrides_and_quiet() -> None:
    result = _run(linear_gaussian(), "-q", "--set", "integrator.step_size=0.2", "--set", "name=other")
    assert len(result.stdout.splitlines()) == 2
    run = rdc_dyn.open_run("out")
    assert (run.sizes["time"], run.attrs["title"]) == (3, "other")
    assert loads(Path("out/scenario.yaml").read_text()).integrator.step_size == 0.2


def test_empty_run_directory_is_used() -> None:
    Path("out").mkdir()
    assert _run(linear_gaussian()).exit_code == 0


def test_run_directory_that_cannot_be_made() -> None:
    _refused(_call("run", _write(linear_gaussian()), "-o", "s.yaml/out"), 4, "cannot write the run directory")


def test_unknown_device() -> None:
    _refused(_run(linear_gaussian(), "--device", "gpu"), 2, "'gpu' is no device", "cuda:N")


def test_mistakes_of_doctor() -> None:
    file = _write(linear_gaussian())
    _refused(_call("doctor", "--device", "gpu"), 2, "'gpu' is no device")
    _refused(_call("doctor", file, "--device", "cuda:99"), 2, "cuda:99 was asked for")
    _refused(_call("doctor", "--set", "dtype=float32"), 2, "doctor: --set", "scenario")
    _refused(_call("doctor", "nowhere.yaml"), _call("validate", "nowhere.yaml").exit_code, "nowhere.yaml")
    _refused(_call("doctor", file, "--set", "dtype=float16"), 2, "dtype")
    assert _call("doctor", file, file).exit_code == 2
    _refused(_call("doctor", _write(images(data={"source": {"classes": [0, 77]}}))), 4, "77")


@pytest.mark.parametrize("text", ["0", "-1", "5x", "soon", "1:30", "nan", "inf", ""])
def test_bad_time_limit(text: str) -> None:
    result = _run(linear_gaussian(), "--max-time", text)
    assert result.exit_code == 2
    assert "50m" in result.stderr


def test_every_status_has_its_exit_code() -> None:
    codes = {status.name: status.exit_code for status in Status}
    assert (codes.pop("COMPLETED"), codes.pop("TIME_LIMIT"), codes.pop("INTERRUPTED")) == (0, 5, 130)
    assert set(codes.values()) == {3}


def _npz(x: Any, y: Any, **more: Any) -> dict[str, Any]:
    np.savez("data.npz", **{k: v for k, v in (("x", x), ("y", y)) if v is not None})
    source = {"name": "npz", "file": "data.npz", "classes": "all", "limit": None}
    return images(data={"source": source | more, "validation_fraction": 0.0})


def _x(count: int = 12) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, 2, 2))


_Y = np.arange(12) % 3


def _changed(array: np.ndarray, place: Any, value: float) -> np.ndarray:
    array = array.astype(float)
    array[place] = value
    return array


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (_changed(_x(), (4, 1, 0), np.nan), _Y, ["data.source: datum 4, component 2 is nan"]),
        (_changed(_x(), (4, 1, 0), -np.inf), _Y, ["datum 4, component 2 is -inf"]),
        (_x(), _changed(_Y, 5, -1), ["datum 5 has label -1"]),
        (_x(), _changed(_Y, 5, 99), ["datum 5 has label 99", "only 12 data"]),
        (_x(), _changed(_Y, 5, 1e9), ["datum 5 has label 1000000000"]),
        (_x(), _changed(_Y, 5, 1e300), ["datum 5 has label 1e+300"]),
        (_x(), _changed(_Y, 5, 0.5), ["datum 5 has label 0.5"]),
        (_x(), _changed(_Y, 5, np.nan), ["datum 5 has label nan"]),
        (_x(), _changed(_Y, 5, np.inf), ["datum 5 has label inf"]),
        (_x()[:, :0], _Y, ["no data left"]),
        (_x(), None, ["holds x; expected arrays x and y"]),
        (None, None, ["holds nothing"]),
        (_x() * 1j, _Y, ["complex128"]),
    ],
)
def test_bad_arrays(x: Any, y: Any, words: Sequence[str]) -> None:
    _refused(_run(_npz(x, y)), 4, "rdc-dyn: ", *words)


@pytest.mark.parametrize(
    "damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"x,y\n1,0\n", lambda b: b[:60] + b"\0" + b[61:]]
)
def test_damaged_npz(damage: Any) -> None:
    tree = _npz(_x(), _Y)
    Path("data.npz").write_bytes(damage(Path("data.npz").read_bytes()))
    _refused(_run(tree), 4, "data.npz: not a readable npz file")


def test_npz_that_is_something_else() -> None:
    tree = _npz(_x(), _Y)
    Path("data.npz").unlink()
    _refused(_run(tree), 4, "data.npz: not a readable npz file (", "No such file")
    with open("data.npz", "wb") as file:
        np.save(file, _x())
    _refused(_run(tree), 4, "data.npz: not a readable npz file")
    Path("data.npz").unlink()
    Path("data.npz").mkdir()
    _refused(_run(tree), 4, "data.npz: not a readable npz file")


def test_coupling_that_is_none() -> None:
    tree = _npz(_x(), _Y)
    tree["data"] |= {"target": tree["data"]["source"], "path": "optimal_transport", "coupling": "c.npz"}
    _refused(_run(tree), 4, "c.npz: not a readable npz file (", "No such file")
    np.savez("c.npz", coupling=np.eye(12) + 0.1 * (np.arange(12) == 3))
    _refused(_run(tree), 4, "c.npz: row 0 of coupling sums to 1.1; every row must sum to 1")
    Path("t.yaml").write_text(dump(from_mapping(images())), encoding="utf-8")
    _refused(_call("run", "t.yaml", "-o", "out", "--set", "data.coupling=c.npz", "--set", "data.target.name=digits"), 2)


def test_target_that_does_not_fit() -> None:
    tree = _npz(_x(), _Y)
    np.savez("goal.npz", x=_x(), y=_Y + 5)
    tree["data"]["target"] = tree["data"]["source"] | {"file": "goal.npz"}
    _refused(_run(tree), 4, "data.target: has the labels 5, 6, 7 and data.source 0, 1, 2, none in common")
    tree["data"]["target"]["classes"] = [5, 6, 8]
    _refused(_run(tree), 4, "has no datum of class 8")
    np.savez("goal.npz", x=_x()[:, :1], y=_Y)
    tree["data"]["target"]["classes"] = "all"
    _refused(_run(tree), 4, "data.target: 2 components per datum, but data.source has 4")
    np.savez("goal.npz", x=_x()[:0], y=_Y[:0])
    _refused(_run(tree), 4, "data.target: no data left")


def test_number_too_large_for_float32() -> None:
    tree = _npz(_changed(_x(), (4, 1, 0), 1e300), _Y)
    _refused(_run(tree | {"dtype": "float32"}), 4, "datum 4, component 2 is inf")


def test_labels_are_renumbered_in_the_order_given() -> None:
    # The same data with other names for the classes are the same data.
    assert _run(_npz(_x(), _Y)).exit_code == 0
    renamed = _npz(_x(), np.array([700, 20, 5])[_Y], classes=[700, 20, 5])
    assert _call("run", _write(renamed, "t.yaml"), "-o", "other").exit_code == 0
    one, two = rdc_dyn.open_run("out"), rdc_dyn.open_run("other")
    assert one.attrs["data_digest"] == two.attrs["data_digest"]
    np.testing.assert_array_equal(one.rate, two.rate)


def test_info_prints_provenance_and_summary() -> None:
    _run(linear_gaussian())
    result = _call("info", "out")
    assert result.exit_code == 0
    lines = result.output.splitlines()
    for name in ("versions", "commit", "seed", "device", "data_digest"):
        assert any(line.startswith(f"{name} ") for line in lines), name
    assert "completed: the process ran to the end of its span" in result.output
    (row,) = [line.split() for line in lines if line.startswith("gamma ")]
    assert row == ["gamma", "1", "1.5"]
    assert "nan" not in result.output
    header = next(line for line in lines if line.split() == ["first", "last"])
    assert {len(line) for line in lines[lines.index(header) :] if "   " in line} == {len(header), len(header) - 14}


def test_info_scenario_runs_again_to_the_same_trajectory() -> None:
    Path("here").mkdir()
    os.chdir("here")
    _run(_npz(_x(), _Y), "--set", "integrator.step_size=0.2")
    first = rdc_dyn.open_run("out")
    os.chdir("..")
    # Paths of the scenario were relative to its folder; the copy stands elsewhere.
    Path("again.yaml").write_text(_call("info", "here/out", "--scenario").output, encoding="utf-8")
    assert _call("run", "again.yaml", "-o", "again").exit_code == 0
    again = rdc_dyn.open_run("again")
    assert again.drop_vars("wall_time").equals(first.drop_vars("wall_time"))
    assert again.attrs["scenario_sha256"] == first.attrs["scenario_sha256"]


def test_plot() -> None:
    _run(linear_gaussian())
    assert _call("plot", "out", "-o", "f.png").output == "wrote f.png\n"
    assert Path("f.png").read_bytes().startswith(b"\x89PNG")
    for name, code in (("f.gif", 2), ("f", 2), ("missing/f.png", 4)):
        result = _call("plot", "out", "-o", name)
        assert result.exit_code == code
        assert name in result.stderr


def test_signal_before_the_run_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(**_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("rdc_dyn.objective.LinearGaussian", interrupted)
    _refused(_run(linear_gaussian()), 130, "stopped by a signal")


def test_a_batch_that_is_larger_than_the_data_is_refused() -> None:
    tree = images(response={"kind": "secant_filter"}, corrector={"method": "primal_dual", "batch": 61})
    _refused(_run(tree), 2, "corrector.batch: must be <= 48, the number of data, got 61")

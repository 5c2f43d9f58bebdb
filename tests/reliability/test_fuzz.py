"""Any netCDF file, any bytes: the readers end with an exit code and a line, soon, in little memory; nothing is made."""

from __future__ import annotations

import hashlib
import math
import tempfile
import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from netCDF4 import Dataset as NetCdf

import rdc_dyn
from rdc_dyn.cli import main
from rdc_dyn.scenario import dump, from_mapping
from rdc_dyn.status import DataError
from rdc_dyn.store.dataset import write_netcdf
from tests.reliability.test_attacks import bounded
from tests.tiny import linear_gaussian, trajectory

_GOOD = dump(from_mapping(linear_gaussian()))
_CODES = {0, 2, 3, 4}
_NAMES = (
    "time",
    "lam",
    "rate",
    "free_energy",
    "accuracy",
    "response",
    "functional",
    "control",
    "wall_time",
    "stranger",
)
_ATTRIBUTES = ("scenario", "status", "status_message", "status_detail", "events", "dtype", "scenario_sha256", "seed")
_DEEP, _BOMB = "[" * 5000, "a: &a [x,x]\n" + "".join(f"b{i}: &b{i} [*a,*a,*a]\n" for i in range(9))

_numbers = st.lists(
    st.one_of(st.floats(width=64), st.sampled_from([0.0, 1e308, -1e308, math.inf])), min_size=3, max_size=3
)
_texts = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=60),
    st.sampled_from([_DEEP, _BOMB, "x" * 300_000, "corrector: {tolerance: -1}", "COMPLETED", "FOLD", "[1, 2]", "{}"]),
    st.integers(-3, 3),
    st.floats(),
    st.just(np.arange(3)),
)
#: A change of a file: what it does, to which name, with which value.
_changes = st.lists(
    st.one_of(
        st.tuples(st.just("lack"), st.sampled_from(_NAMES), st.none()),
        st.tuples(st.just("numbers"), st.sampled_from(_NAMES), _numbers),
        st.tuples(st.just("type"), st.sampled_from(_NAMES), st.sampled_from(["i4", "f4", "S1", "u8", "str", "i1"])),
        st.tuples(
            st.just("shape"), st.sampled_from(_NAMES), st.sampled_from([(), ("x",), ("time", "x"), ("x", "y", "time")])
        ),
        st.tuples(st.just("giant"), st.sampled_from(_NAMES), st.integers(20, 40)),
        st.tuples(st.just("attribute"), st.sampled_from(_ATTRIBUTES), _texts),
        st.tuples(st.just("no attribute"), st.sampled_from(_ATTRIBUTES), st.none()),
        st.tuples(
            st.just("encoding"),
            st.sampled_from(_NAMES),
            st.sampled_from([("units", "days since 2000-01-01"), ("scale_factor", "x"), ("add_offset", 1e308)]),
        ),
        st.tuples(st.just("group"), st.sampled_from(_NAMES), st.none()),
    ),
    max_size=4,
)


def _write(path: Path, changes: list[tuple[str, str, Any]]) -> None:
    """A trajectory with changes, by netCDF4 itself: xarray would refuse to write most of them."""
    run, done = trajectory(), {(kind, name): value for kind, name, value in changes}
    with NetCdf(str(path), "w") as file:
        for name, length in (("time", 3), ("functional", 3), ("control", 3), ("x", 2), ("y", 5)):
            file.createDimension(name, length)
        for name, variable in run.variables.items():
            if ("lack", name) not in done:
                _variable(file, str(name), variable, done)
        if any(name == "stranger" for _, name, _ in changes):
            _variable(file, "stranger", run["rate"].variable, done)
        attributes: dict[str, Any] = {
            **run.attrs,
            "scenario": _GOOD,
            "status_detail": "",
            "dtype": "float64",
            "events": "",
        }
        for name, value in attributes.items():
            if ("no attribute", name) not in done:
                file.setncattr(name, value)
        for (kind, name), value in done.items():
            if kind == "attribute":
                file.setncattr(name, value)
            if kind == "group":
                inner = file.createGroup(f"{name} group").createGroup(name)
                inner.createVariable(name, "f8", ("time",))


def _variable(file: NetCdf, name: str, variable: Any, done: dict[tuple[str, str], Any]) -> None:
    words = variable.dtype.kind not in "f"
    kind, dims = done.get(("type", name), str if words else "f8"), done.get(("shape", name), variable.dims)
    options: dict[str, Any] = {}
    if (power := done.get(("giant", name))) is not None:
        file.createDimension(f"giant {name}", 2**power)
        dims = (f"giant {name}",)
        options = {"chunksizes": (1024,)} | ({} if kind in (str, "str") else {"zlib": True})
    made = file.createVariable(name, str if kind == "str" else kind, dims, **options)
    made.set_auto_maskandscale(False)
    if ("encoding", name) in done:
        made.setncattr(*done["encoding", name])
    if dims == variable.dims and kind == "f8":
        given = done.get(("numbers", name))
        made[:] = variable.values if given is None else np.resize(np.array(given), variable.shape)
    elif dims == variable.dims and words and kind is str:
        made[:] = np.array(variable.values, dtype=object)


def _snapshot(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def _ends_in_order(folder: Path, *arguments: str) -> int:
    """Run a command; its exit code."""
    before = _snapshot(folder)
    with bounded(), warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        result = CliRunner().invoke(main, list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit), (arguments, result.exc_info)
    assert result.exit_code in _CODES and "Traceback" not in result.output
    assert [f"{w.filename}:{w.lineno}: {w.message}" for w in said] == []
    if result.exit_code and arguments[0] != "verify":  # which has a table
        assert len(result.stderr.strip().splitlines()) == 1 and len(result.stderr) < 2000, result.stderr
    assert _snapshot(folder) == before
    return result.exit_code


def _read_all(folder: Path, fill: Callable[[Path], object]) -> None:
    """A file alone, and as the trajectory of a run that has digests of all of it."""
    run = folder / "runs" / "run"
    run.mkdir(parents=True)
    fill(run / "trajectory.nc")
    for command in (("info",), ("info", "--scenario"), ("verify",)):
        _ends_in_order(folder, command[0], str(run / "trajectory.nc"), *command[1:])
    (run / "scenario.yaml").write_text(_GOOD)
    names = ("scenario.yaml", "trajectory.nc")
    digests = [f"{hashlib.sha256((run / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    (run / "SHA256SUMS").write_text("".join(digests))
    for name in ("info", "verify", "resume"):
        _ends_in_order(folder, name, str(run))
    _ends_in_order(folder, "compare", str(folder))
    try:
        rdc_dyn.open_run(run)
    except DataError as error:
        assert "\n" not in str(error)


def _import_everything() -> None:
    """So that no reader is charged for it."""
    for name in ("comparison", "running.resumption", "read.verify", "read.accessor"):
        import_module(f"rdc_dyn.{name}")


def _any_file(changes: list[tuple[str, str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        _read_all(Path(folder), lambda path: _write(path, changes))


def _whole() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        write_netcdf(trajectory().assign_attrs(scenario=_GOOD, status_detail=""), Path(folder) / "t.nc")
        return (Path(folder) / "t.nc").read_bytes()


_import_everything()
_WHOLE = _whole()
_cuts = st.lists(
    st.tuples(st.integers(0, len(_WHOLE) - 1), st.integers(0, 8), st.binary(max_size=8)), min_size=1, max_size=4
)


def _any_bytes(cuts: list[tuple[int, int, bytes]], end: int) -> None:
    content = bytearray(_WHOLE)
    for start, length, put in cuts:
        content[start : start + length] = put
    with tempfile.TemporaryDirectory() as folder:
        _read_all(Path(folder), lambda path: path.write_bytes(bytes(content[: len(content) - end])))


_QUICK = settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
_LONG = settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
_ends = st.one_of(st.just(0), st.integers(0, len(_WHOLE)))


def test_a_good_file_passes_every_reader(tmp_path: Path) -> None:
    """The other tests would also pass if nothing were ever accepted."""
    _write(tmp_path / "good.nc", [])
    assert _ends_in_order(tmp_path, "info", str(tmp_path / "good.nc")) == 0
    assert rdc_dyn.open_run(tmp_path / "good.nc").sizes["time"] == 3


@_QUICK
@given(_changes)
def test_some_netcdf_files(changes: list[tuple[str, str, Any]]) -> None:
    _any_file(changes)


@_QUICK
@given(_cuts, _ends)
def test_some_bytes(cuts: list[tuple[int, int, bytes]], end: int) -> None:
    _any_bytes(cuts, end)


@pytest.mark.slow
@_LONG
@given(_changes)
def test_many_netcdf_files(changes: list[tuple[str, str, Any]]) -> None:
    _any_file(changes)


@pytest.mark.slow
@_LONG
@given(_cuts, _ends)
def test_many_bytes(cuts: list[tuple[int, int, bytes]], end: int) -> None:
    _any_bytes(cuts, end)

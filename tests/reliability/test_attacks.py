"""Scenarios, checkpoints, trajectories and data of strangers: one line, the right exit code, nothing made or run."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import resource
import struct
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from netCDF4 import Dataset as NetCdf
from safetensors.torch import save

import rdc_dyn
from rdc_dyn.cli import main
from rdc_dyn.scenario import ScenarioError, dump, from_mapping, load, loads
from rdc_dyn.status import DataError, UserError
from rdc_dyn.store.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from rdc_dyn.store.dataset import write_netcdf
from tests.tiny import images, linear_gaussian, trajectory

# Each starts processes or opens many files: minutes in all.
pytestmark = pytest.mark.slow

_MEMORY = 300 << 20


@contextmanager
def bounded(seconds: float = 1.0) -> Iterator[None]:
    """Less than a second and 300 MB more than before; of a machine that is busy with other things, ten seconds."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began, by_the_wall = time.process_time(), time.perf_counter()
    yield
    assert time.process_time() - began < seconds
    assert time.perf_counter() - by_the_wall < 10 * seconds
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10 < _MEMORY


# --- scenarios ----------------------------------------------------------------------------------------------------

_GOOD = dump(from_mapping(linear_gaussian()))
_SECTIONS = ("objective", "start", "process", "response", "integrator", "corrector", "output")
_VALUES = (
    "[]",
    "{}",
    "null",
    "-1",
    "1e999",
    ".nan",
    "'x'",
    "true",
    "[1, [2, [3]]]",
    "{a: {b: c}}",
    "!!python/name:os.system x",
)
_BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(8)
)
BAD: dict[str, bytes] = {
    **{f"{section}: {value}": f"{_GOOD}\n{section}: {value}\n".encode() for section in _SECTIONS for value in _VALUES},
    "alias bomb": _BOMB.encode(),
    "anchor": b"name: &a x\nseed: *a\n",
    "merge key": b"a: &a {b: 1}\nname: {<<: *a}\n",
    "object": b"name: !!python/object/apply:os.system ['touch created']\n",
    "object with new": b"!!python/object/new:os.system [touch created]\n",
    "tag": b"name: !secret x\n",
    "binary": b"name: !!binary aGVsbG8=\n",
    "depth of lists": b"[" * 5000,
    "depth of mappings": "".join(f"{' ' * i}a:\n" for i in range(3000)).encode(),
    "flow depth": b"name: " + b"{a: " * 4000,
    "size": b"#" * (8 << 20),
    "long key": b"k" * 900_000 + b": 1\n",
    "not UTF-8": b"name: \xff\xfe\x00\n",
    "UTF-16": "name: x\n".encode("utf-16"),
    "NUL": b"name: a\x00b\n",
    "two documents": b"name: x\n---\nname: y\n",
    "empty": b"",
    "nothing but comments": b"# nothing\n",
    "a list": b"- 1\n",
    "a scalar": b"x",
    "duplicate": (_GOOD + "\nname: again\n").encode(),
    "tab": b"name:\n\tx\n",
    "directive": b"%YAML 99.9\n---\nname: x\n",
    "huge integer": b"seed: " + b"9" * 100_000 + b"\n",
    "huge exponent": b"integrator: {step_size: 1e" + b"9" * 10_000 + b"}\n",
    "unclosed quote": b'name: "x\n',
    "bad escape": b'name: "\\UFFFFFFFF"\n',
    "control characters": b"name: \x1b[31mred\n",
    "surrogate": b'name: "\\ud800"\n',
}


def test_there_are_enough_bad_files() -> None:
    assert len(BAD) >= 80


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_scenario_is_refused(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.yaml").write_bytes(BAD[kind])
    with bounded():
        result = CliRunner().invoke(main, ["run", "bad.yaml", "-o", "out"])
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit) and "Traceback" not in result.output
    assert 0 < len(result.output) < 20_000
    assert [file.name for file in tmp_path.iterdir()] == ["bad.yaml"]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.one_of(st.binary(max_size=400), st.text(max_size=400).map(lambda text: text.encode("utf-8", "replace"))))
def test_any_bytes_are_a_scenario_or_an_error(content: bytes) -> None:
    with bounded():
        try:
            loads(content.decode("utf-8"))
        except (UserError, UnicodeDecodeError):
            return


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_change_of_a_good_scenario_is_a_scenario_or_an_error(data: st.DataObject) -> None:
    text = _GOOD
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        length, put = (
            data.draw(st.integers(0, 12)),
            data.draw(st.text(alphabet="ab01:-{}[],&*!|>'\"\n #.e~%@", max_size=8)),
        )
        text = text[:start] + put + text[start + length :]
    with bounded():
        try:
            loads(text)
        except ScenarioError as error:
            assert "\n\n" not in str(error)


_OUTSIDE = ["../data.npz", "/etc/hostname", "~/data.npz", "link.npz", "a/../../data.npz", "C:\\data.npz", "loop/x"]


@pytest.mark.parametrize("path", _OUTSIDE)
@pytest.mark.parametrize("key", ["data.source.file", "data.root", "data.coupling", "start.from"])
def test_a_path_that_leaves_the_folder_is_refused(tmp_path: Path, key: str, path: str) -> None:
    folder = tmp_path / "scenario"
    folder.mkdir()
    (tmp_path / "data.npz").write_bytes(b"")
    (folder / "link.npz").symlink_to(tmp_path / "data.npz")
    (folder / "loop").symlink_to(folder / "loop")
    tree: dict[str, Any] = images()
    if key == "data.source.file":
        tree["data"]["source"] = {"name": "npz"}
    *sections, name = key.split(".")
    place = tree
    for section in sections:
        place = place.setdefault(section, {})
    place[name] = path
    file = folder / "s.yaml"
    file.write_text(json.dumps(tree))
    with pytest.raises(ScenarioError) as raised:
        load(file)
    lines = [line for line in str(raised.value).splitlines() if "leaves the folder of the scenario" in line]
    assert len(lines) == 1 and "s.yaml:1:" in lines[0] and f"--set {key}={path}" in lines[0]
    # What the user names is the user's own choice.
    try:
        load(file, [f"{key}={json.dumps(path)}"])
    except ScenarioError as error:
        assert "leaves the folder" not in str(error)


def test_a_path_inside_the_folder_is_read(tmp_path: Path) -> None:
    tree = images(data={"root": "sets/here"})
    (tmp_path / "s.yaml").write_text(json.dumps(tree))
    try:
        load(tmp_path / "s.yaml")
    except ScenarioError as error:
        assert "leaves" not in str(error)


# --- checkpoints --------------------------------------------------------------------------------------------------


class _Harmful:
    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch executed",)


def _file(header: bytes, length: int | None = None, data: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def _digested(header: dict[str, Any], data: bytes = b"", plain: str | None = None) -> bytes:
    """A file whose digest is right, as whoever writes it can see to."""
    inner = json.dumps({"format": "rdc_dyn checkpoint 6"}) if plain is None else plain
    metadata = {"rdc_dyn": inner, "sha256": "0" * 64}
    text = json.dumps({"__metadata__": metadata, **header}, separators=(",", ":")).encode()
    whole = _file(text, data=data)
    return whole.replace(b'"sha256":"' + b"0" * 64, b'"sha256":"' + hashlib.sha256(whole).hexdigest().encode(), 1)


def _plain(**changes: Any) -> str:
    whole = {"format": "rdc_dyn checkpoint 6", "objective": "x", "values": {"time": 0.0}}
    return json.dumps({**whole, "log": {"length": 0, "digest": "0" * 64}, **changes})


_STATE = {
    "theta": {"dtype": "F64", "shape": [2], "data_offsets": [0, 16]},
    "controls": {"dtype": "F64", "shape": [3], "data_offsets": [16, 40]},
}
_DATA = np.zeros(5).tobytes()


def _torch_file(folder: Path) -> bytes:
    torch.save({"theta": torch.zeros(3), "x": _Harmful()}, folder / "t.pt")
    content = (folder / "t.pt").read_bytes()
    (folder / "t.pt").unlink()
    return content


def _zip_bomb(folder: Path) -> bytes:
    with zipfile.ZipFile(folder / "b.zip", "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("theta", b"\0" * (64 << 20))
    content = (folder / "b.zip").read_bytes()
    (folder / "b.zip").unlink()
    return content


CRAFTED: dict[str, Callable[[Path], bytes]] = {
    "pickle": lambda folder: pickle.dumps(_Harmful()),
    "torch": _torch_file,
    "zip bomb": _zip_bomb,
    "empty": lambda folder: b"",
    "header length": lambda folder: _file(b"{}", 2**63 - 1),
    "header of 4 GB": lambda folder: _file(b"{}", 2**32),
    "deep header": lambda folder: _file(b'{"a":' * 100_000),
    "deep header with a digest": lambda folder: _digested({}, plain='{"a":' * 100_000),
    "deep list": lambda folder: _digested(_STATE, _DATA, "[" * 200_000),
    "huge shape": lambda folder: _digested({"theta": {"dtype": "F64", "shape": [2**40], "data_offsets": [0, 2**43]}}),
    "overflowing shape": lambda folder: _digested(
        {"theta": {"dtype": "F64", "shape": [2**62, 2**62], "data_offsets": [0, 0]}}
    ),
    "no theta": lambda folder: _digested({}, plain=_plain()),
    "safetensors of another program": lambda folder: save({"theta": torch.zeros(3)}),
    "NaN": lambda folder: _digested(_STATE, np.full(5, np.nan).tobytes(), _plain()),
    "wrong digest": lambda folder: _digested(_STATE, _DATA, _plain()).replace(b'"sha256":"', b'"sha256":"0', 1),
    "no digest": lambda folder: save({"theta": torch.zeros(3), "controls": torch.zeros(3)}, {"rdc_dyn": _plain()}),
    "another format": lambda folder: _digested(_STATE, _DATA, _plain(format="x" * 10_000)),
    "no clock": lambda folder: _digested(_STATE, _DATA, _plain(values={})),
    "clock is a word": lambda folder: _digested(_STATE, _DATA, _plain(values={"time": "noon"})),
    "values are a list": lambda folder: _digested(_STATE, _DATA, _plain(values=[[1, 2, 3]])),
    "no log": lambda folder: _digested(_STATE, _DATA, _plain(log={})),
    "length of the log is a word": lambda folder: _digested(_STATE, _DATA, _plain(log={"length": "x", "digest": ""})),
    "metadata is a list": lambda folder: _file(b'{"__metadata__":["sha256"]}'),
    "unknown dtype": lambda folder: _digested(
        {"theta": {"dtype": "F4096", "shape": [2], "data_offsets": [0, 16]}}, _DATA, _plain()
    ),
    "overlap": lambda folder: _digested(
        {**_STATE, "s": {"dtype": "F64", "shape": [2], "data_offsets": [0, 16]}}, _DATA, _plain()
    ),
    "zeros": lambda folder: bytes(100_000),
}


@pytest.mark.parametrize("kind", CRAFTED)
def test_a_crafted_checkpoint_is_refused(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.safetensors").write_bytes(CRAFTED[kind](tmp_path))
    with bounded(), pytest.raises(DataError) as raised:
        load_checkpoint(tmp_path / "c.safetensors", parameters=2)
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 1000
    assert [file.name for file in tmp_path.iterdir()] == ["c.safetensors"]


def test_a_file_larger_than_its_state_could_be_is_not_read(tmp_path: Path) -> None:
    with open(tmp_path / "c", "wb") as file:
        file.truncate(1 << 40)  # a hole of a terabyte
    with bounded(), pytest.raises(DataError, match="too large for 10 parameters"):
        load_checkpoint(tmp_path / "c", parameters=10)


def test_a_pipe_is_no_checkpoint(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "c")
    with bounded(), pytest.raises(DataError, match="no regular file"):
        load_checkpoint(tmp_path / "c")


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300), st.text(max_size=60))
def test_any_bytes_are_no_checkpoint(tmp_path: Path, content: bytes, word: str) -> None:
    for whole in (
        content,
        _file(content),
        _digested(_STATE, content, json.dumps(word)),
        _digested({word: _STATE}, content),
    ):
        (tmp_path / "c").write_bytes(whole)
        with bounded(), pytest.raises(DataError):
            load_checkpoint(tmp_path / "c", parameters=2)


def test_a_state_with_a_right_digest_and_wrong_parts_is_refused(tmp_path: Path) -> None:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rdc_dyn.run(linear_gaussian(), tmp_path / "run", max_time=1e-9)
    file = next((tmp_path / "run" / "checkpoints").iterdir())
    good = load_checkpoint(file)
    some = good.tensors["point.response.directions"]

    def changed(**tensors: torch.Tensor) -> Checkpoint:
        named = {name.replace("__", "."): tensor for name, tensor in tensors.items()}
        return replace(good, tensors={**good.tensors, **named})

    bad = {
        "shape": changed(point__response__directions=some[:2]),
        "finite": changed(point__response__directions=some * float("nan")),
        "stranger": changed(stranger=torch.zeros(3)),
        "parameters": changed(theta=torch.zeros(3, dtype=torch.float64)),
    }
    for what in ("point", "work", "mixed", "walk"):
        bad[what] = replace(good, values={name: value for name, value in good.values.items() if name != what})
    for what in ("response", "stability", "index"):
        point = {name: value for name, value in good.values["point"].items() if name != what}
        bad[what] = replace(good, values={**good.values, "point": point})
    for what, value in (("step_size", "x"), ("singularities", [3]), ("response", {}), ("stability", None)):
        point = {**good.values["point"], what: value}
        bad[f"{what} {value}"] = replace(good, values={**good.values, "point": point})
    for what, checkpoint in bad.items():
        save_checkpoint(file, checkpoint)
        with pytest.raises(DataError) as raised:
            rdc_dyn.resume(tmp_path / "run")
        assert "\n" not in str(raised.value), what
        assert not (tmp_path / "run" / ".new").exists()
    save_checkpoint(file, good)
    assert rdc_dyn.resume(tmp_path / "run").attrs["status"] == "COMPLETED"


# --- trajectories -------------------------------------------------------------------------------------------------


def _netcdf(fill: Callable[[NetCdf], None]) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        with NetCdf(str(path), "w") as file:
            fill(file)

    return make


def _giant(file: NetCdf) -> None:
    file.createDimension("time", 2**40)
    file.createVariable("rate", "f8", ("time",), chunksizes=(1024,), zlib=True)


def _giants(file: NetCdf) -> None:
    for name in ("a", "b", "c"):
        file.createDimension(name, 2**20)
    file.createVariable("rate", "f8", ("a", "b", "c"), chunksizes=(1, 1, 1024))


def _types(file: NetCdf) -> None:
    file.createDimension("time", 3)
    compound = file.createCompoundType(np.dtype([("a", "f8"), ("b", "i4")]), "compound")
    file.createVariable("rate", compound, ("time",))


def _many(file: NetCdf) -> None:
    for number in range(1500):
        file.createVariable(f"v{number}", "f8", ())


def _changed(**changes: Any) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        run = trajectory()
        for name, value in changes.items():
            run = run.drop_vars(name) if value is None else run.assign({name: value})
        run.to_netcdf(path, engine="netcdf4")

    return make


FORGED: dict[str, Callable[[Path], object]] = {
    "giant dimension": _netcdf(_giant),
    "giant product": _netcdf(_giants),
    "compound type": _netcdf(_types),
    "thousands of variables": _netcdf(_many),
    "nothing": _netcdf(lambda file: None),
    "no rate": _changed(rate=None),
    "no response": _changed(response=None),
    "no time": lambda path: trajectory().drop_vars("time").to_netcdf(path, engine="netcdf4"),
    "rate is a word": _changed(rate=("time", np.array(["a", "b", "c"]))),
    "rate is whole": _changed(rate=("time", np.arange(3))),
    "rate is a matrix": _changed(rate=(("time", "x"), np.zeros((3, 2)))),
    "rate is a date": _changed(rate=("time", np.array(["2020-01-01"] * 3, dtype="datetime64[ns]"))),
    "no scenario": lambda path: trajectory().drop_attrs().to_netcdf(path, engine="netcdf4"),
    "scenario is a number": lambda path: trajectory().assign_attrs(scenario=3.0).to_netcdf(path, engine="netcdf4"),
    "HDF5 signature": lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(2000)),
    "classic format": lambda path: path.write_bytes(b"CDF\x01" + b"\xff" * 200),
    "pickle": lambda path: path.write_bytes(pickle.dumps(_Harmful())),
}


@pytest.mark.parametrize("kind", FORGED)
def test_a_forged_trajectory_is_refused(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    FORGED[kind](tmp_path / "trajectory.nc")
    with bounded():
        result = CliRunner().invoke(main, ["info", "trajectory.nc"])
    assert result.exit_code == 4, result.output
    assert isinstance(result.exception, SystemExit) and len(result.output.strip().splitlines()) == 1, result.output
    assert [file.name for file in tmp_path.iterdir()] == ["trajectory.nc"]


def test_any_flip_or_cut_of_a_trajectory_is_opened_or_refused(tmp_path: Path) -> None:
    file = tmp_path / "trajectory.nc"
    write_netcdf(trajectory(), file)
    whole, rng = file.read_bytes(), np.random.default_rng(0)
    for number in range(250):
        damaged = bytearray(whole)
        if number % 5:
            damaged[rng.integers(len(whole))] ^= 1 << rng.integers(8)
        else:
            damaged = damaged[: rng.integers(len(whole))]
        file.write_bytes(damaged)
        with bounded(5.0):
            try:
                rdc_dyn.open_run(file)
            except DataError as error:
                assert "\n" not in str(error)

"""Any log with right digests, any manifest and any list of digests: a trajectory, or one line on what is wrong."""

from __future__ import annotations

import json
import math
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import rdc_dyn
from rdc_dyn.read.events import events
from rdc_dyn.read.verify import verify
from rdc_dyn.store.log import Mark
from rdc_dyn.store.run_directory import read_digests
from rdc_dyn.store.sweep_directory import FORMAT, read_sweep, sealed
from tests.tiny import linear_gaussian

_json = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.just(10**400),
        st.floats(),
        st.text(max_size=20),
        st.sampled_from(["inf", "COMPLETED", "\ud800", "\x1b[2J", "../../x", "noon"]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=8,
)
_keys = ("event", "time", "text", "rate", "response", "response_error", "attributes", "status", "detail", "stranger")
_inner = ("scenario", "status", "dtype", "title", "events", "seed")
#: A change of a log: of which line, what it does, to which key, with which value.
_changes = st.lists(
    st.tuples(
        st.integers(0, 8), st.sampled_from(["set", "lack", "inside", "again", "gone"]), st.sampled_from(_keys), _json
    ),
    max_size=4,
)


def _lines() -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rdc_dyn.run(linear_gaussian(), Path(folder) / "run")
        lines = [json.loads(line) for line in (Path(folder) / "run" / "log.jsonl").read_text().splitlines()]
    for line in lines:
        del line["sha256"]
    return lines


_LINES = _lines()


def _changed(changes: list[tuple[int, str, str, Any]]) -> list[Any]:
    lines: list[Any] = json.loads(json.dumps(_LINES))
    for number, what, key, value in changes:
        place = number % max(len(lines), 1)
        if not lines or not isinstance(lines[place], dict):
            continue
        if what == "set":
            lines[place][key] = value
        elif what == "lack":
            lines[place].pop(key, None)
        elif what == "inside" and isinstance(lines[place].get("attributes"), dict):
            lines[place]["attributes"][_inner[len(key) % len(_inner)]] = value
        elif what == "again":
            lines.insert(place, lines[place])
        elif what == "gone":
            del lines[place]
    return lines


def _forge(file: Path, lines: list[Any]) -> None:
    mark = Mark()
    with open(file, "wb") as log:
        for line in lines:
            text = json.dumps(line).encode()
            after = mark.after(text)
            log.write(Mark.line(text, after.digest))
            mark = after


def _says_what_is_wrong(read: Callable[[Path], object], path: Path) -> None:
    try:
        read(path)
    except rdc_dyn.DataError as error:
        assert "\n" not in str(error) and len(str(error)) < 2000
        str(error).encode()


def _any_log(changes: list[tuple[int, str, str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("error")
        run = Path(folder)
        _forge(run / "log.jsonl", _changed(changes))
        for read in (rdc_dyn.open_run, events, verify):
            _says_what_is_wrong(read, run)
        assert [file.name for file in run.iterdir()] == ["log.jsonl"]


def _any_text(name: str, text: str, read: Callable[[Path], object]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / name).write_bytes(text.encode("utf-8", "surrogatepass"))
        _says_what_is_wrong(read, Path(folder))
        assert [file.name for file in Path(folder).iterdir()] == [name]


_names = st.one_of(
    st.from_regex(r"[0-9a-f]{12}", fullmatch=True), st.sampled_from(["..", "../../x", "/etc"]), st.text()
)
_points = st.lists(st.fixed_dictionaries({"name": _names, "values": _json}), max_size=3)
_manifests = st.fixed_dictionaries(
    {"format": st.one_of(st.just(FORMAT), _json), "program": st.just("x"), "scenario": _json, "keys": _json}
    | {"points": st.one_of(_points, _json)}
)
_listed = st.lists(
    st.tuples(
        st.from_regex(r"[0-9a-f]{60,66}", fullmatch=True),
        st.sampled_from(["  ", " *", "\t"]),
        st.one_of(st.sampled_from(["log.jsonl", "../x", "checkpoints/000001.safetensors", "/etc/passwd"]), st.text()),
    )
)
_FEW = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
_MANY = settings(max_examples=4000, deadline=None, suppress_health_check=list(HealthCheck))


def test_a_whole_log_is_read(tmp_path: Path) -> None:
    """The other tests would also pass if nothing were ever accepted."""
    _forge(tmp_path / "log.jsonl", _LINES)
    opened = rdc_dyn.open_run(tmp_path)
    assert (opened.attrs["status"], opened.sizes["time"]) == ("COMPLETED", 5)
    assert math.isfinite(float(opened.rate[-1]))


@_FEW
@given(_changes)
def test_some_logs(changes: list[tuple[int, str, str, Any]]) -> None:
    _any_log(changes)


@_FEW
@given(_manifests)
def test_some_manifests(content: dict[str, Any]) -> None:
    _any_text("sweep.json", sealed(content).decode(), read_sweep)


@_FEW
@given(_listed)
def test_some_lists_of_digests(lines: list[tuple[str, str, str]]) -> None:
    _any_text("SHA256SUMS", "".join(f"{''.join(line)}\n" for line in lines), read_digests)


@pytest.mark.slow
@_MANY
@given(_changes)
def test_many_logs(changes: list[tuple[int, str, str, Any]]) -> None:
    _any_log(changes)


@pytest.mark.slow
@_MANY
@given(_manifests)
def test_many_manifests(content: dict[str, Any]) -> None:
    _any_text("sweep.json", sealed(content).decode(), read_sweep)


@pytest.mark.slow
@_MANY
@given(_listed)
def test_many_lists_of_digests(lines: list[tuple[str, str, str]]) -> None:
    _any_text("SHA256SUMS", "".join(f"{''.join(line)}\n" for line in lines), read_digests)

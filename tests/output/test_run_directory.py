"""Run directories: the log, the netCDF file, and what is left of a run that was killed."""

from __future__ import annotations

import errno
import json
import math
import subprocess
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import xarray as xr
from netCDF4 import Dataset as NetCdf

from rdc_dyn.read.verify import verify
from rdc_dyn.record import Event
from rdc_dyn.status import DataError, UserError
from rdc_dyn.store.dataset import to_dataset, write_netcdf
from rdc_dyn.store.lock import Lock
from rdc_dyn.store.log import Log, Logged, Mark, read_log
from rdc_dyn.store.run_directory import last_checkpoint, open_run
from rdc_dyn.store.run_writer import RunWriter
from tests.tiny import ATTRIBUTES, record, trajectory


def _write(path: Path, points: int = 3) -> RunWriter:
    writer = RunWriter.create(path, "name: tiny\n")
    writer.begin(ATTRIBUTES)
    for i in range(points):
        writer.record(record(0.1 * i, rate=math.pi / (i + 1), constraint_residual=math.nan))
    return writer


def _refuse(constant: str) -> NoReturn:
    raise AssertionError(f"{constant} is not JSON")


def test_log_lines_are_strict_json(tmp_path: Path) -> None:
    writer = _write(tmp_path / "run", 1)
    writer.record(record(0.5, krylov_residual=math.inf))
    writer.event(Event("rejected", 0.5, "λ\u2028\n", {"step_size": -math.inf, "list": [math.nan, {"a": 1}]}))
    lines = (tmp_path / "run" / "log.jsonl").read_bytes().splitlines()
    parsed = [json.loads(line, parse_constant=_refuse) for line in lines]
    assert [line["event"] for line in parsed] == ["attributes", "record", "record", "rejected"]
    assert all(line.isascii() for line in lines)


def test_log_round_trip_is_lossless(tmp_path: Path) -> None:
    writer = _write(tmp_path / "run", 0)
    written = record(1 / 3, rate=0.1 + 0.2, free_energy=5e-324, accuracy=math.nan, wall_time=math.inf, lam=-0.0)
    writer.record(written)
    writer.event(Event("warning", 1.0, "mind", {"gap": 0.5}))
    logged = read_log(tmp_path / "run")
    assert repr(logged.records) == repr([written])  # by repr: NaN differs from itself, and -0.0 equals 0.0
    assert logged.events == [{"event": "warning", "time": 1.0, "text": "mind", "gap": 0.5}]
    assert logged.attributes == ATTRIBUTES


@pytest.mark.parametrize("kept", [1, 20, -2])
def test_torn_last_line_is_dropped(tmp_path: Path, kept: int) -> None:
    _write(tmp_path / "run").close()
    log = tmp_path / "run" / "log.jsonl"
    *whole, last = log.read_text().splitlines(keepends=True)
    log.write_text("".join(whole) + last[:kept])
    assert [r.time for r in read_log(tmp_path / "run").records] == [0.0, 0.1]


def _forged(run: Path, *lines: str) -> Logged:
    """The log of a run to which lines are added with the digests that belong to them."""
    mark = read_log(run).mark
    with open(run / "log.jsonl", "ab") as file:
        for line in lines:
            after = mark.after(line.encode())
            file.write(Mark.line(line.encode(), after.digest))
            mark = after
    return read_log(run)


_CRAFTED = {
    "an empty line": "",
    "no object": "[]",
    "no event": '{"time": 0}',
    "no numbers": '{"event": "record", "time": 0.0}',
    "a ragged matrix": '{"event": "record", "time": 0.0, "response": [[1, 2, 3], [1, 2], [1, 2, 3]]}',
    "a matrix of words": '{"event": "record", "time": 0.0, "response": [["a", 2, 3], [1, 2, 3], [1, 2, 3]]}',
    "an unknown variable": '{"event": "record", "time": 0.0, "x": 1, "response": [[1, 2, 3], [1, 2, 3], [1, 2, 3]]}',
    "Infinity": '{"event": "warning", "time": Infinity, "text": "x"}',
    "400 digits": '{"event": "warning", "time": 1' + 400 * "0" + ', "text": "x"}',
    "a time that is text": '{"event": "warning", "time": "noon", "text": "x"}',
    "a text that is a number": '{"event": "warning", "time": 0, "text": 3}',
    "a lone surrogate": '{"event": "warning", "time": 0, "text": "\\ud800"}',
    "deep": '{"event": ' + 10_000 * "[" + 10_000 * "]" + "}",
    "an end without a status": '{"event": "end", "time": 0, "text": "x"}',
    "a status that is none": '{"event": "end", "time": 0, "text": "x", "status": "FINE", "detail": ""}',
    "attributes that are a list": '{"event": "attributes", "attributes": [1]}',
}


@pytest.mark.parametrize("kind", _CRAFTED)
def test_a_crafted_line_is_found_and_what_stands_before_it_is_read(tmp_path: Path, kind: str) -> None:
    _write(tmp_path / "run").close()
    logged = _forged(tmp_path / "run", _CRAFTED[kind])
    assert logged.damage.startswith(f"{tmp_path / 'run' / 'log.jsonl'}:5: damaged line")
    opened = open_run(tmp_path / "run")
    assert opened.attrs["status"] == "DAMAGED" and opened.sizes["time"] == 3
    assert "log.jsonl:5: damaged line" in opened.attrs["status_message"]


@pytest.mark.parametrize(
    "attributes", ['{"scenario": 3}', '{"scenario": "", "dtype": "x"}', '{"scenario": "", "y": []}']
)
def test_crafted_attributes_are_refused(tmp_path: Path, attributes: str) -> None:
    _write(tmp_path / "run").close()
    _forged(tmp_path / "run", f'{{"event": "attributes", "attributes": {attributes}}}')
    with pytest.raises(DataError, match="not the log of a trajectory"):
        open_run(tmp_path / "run")


def test_every_flipped_bit_cut_and_swap_is_found_where_it_is(tmp_path: Path) -> None:
    _write(tmp_path / "run").close()
    log = tmp_path / "run" / "log.jsonl"
    whole = log.read_bytes()
    lines, times = whole.splitlines(keepends=True), [0.0, 0.1, 0.2]
    for bit in range(0, 8 * len(whole), 31):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        log.write_bytes(bytes(damaged))
        number = whole[: bit // 8].count(b"\n") + 1
        logged = read_log(tmp_path / "run")
        assert f"log.jsonl:{number}: damaged line" in logged.damage, (bit, logged.damage)
        assert [record.time for record in logged.records] == times[: max(number - 2, 0)]
    for order in ((0, 2, 1, 3), (0, 1, 3), (1, 2, 3), (0, 1, 1, 2, 3), (1, 0, 2, 3)):
        log.write_bytes(b"".join(lines[k] for k in order))
        assert "damaged line (its digest is another one)" in read_log(tmp_path / "run").damage, order


def test_every_line_is_on_disk_at_once(tmp_path: Path) -> None:
    writer = _write(tmp_path / "run", 2)
    assert len(read_log(tmp_path / "run").records) == 2  # without close
    writer.close()


def test_unfinished_run_opens(tmp_path: Path) -> None:
    _write(tmp_path / "run")
    opened = open_run(tmp_path / "run")
    assert opened.attrs["status"] == "RUNNING"
    assert opened.attrs["scenario"] == ATTRIBUTES["scenario"]
    np.testing.assert_array_equal(opened.rate.values, [math.pi, math.pi / 2, math.pi / 3])


def test_finish_writes_what_open_run_reads(tmp_path: Path) -> None:
    writer = _write(tmp_path / "run", 0)
    points = [record(0.1 * i, rate=math.pi / (i + 1), constraint_residual=math.nan) for i in range(7)]
    points[4] = record(0.4, smallest_eigenvalue=0.5)
    for point in points:
        writer.record(point)
    writer.event(Event("end", 0.6, "done", {"status": "COMPLETED", "detail": ""}))
    written = writer.finish()
    expected = to_dataset(points, {**ATTRIBUTES, "events": written.attrs["events"]})
    ending = {"status": "COMPLETED", "status_message": "done", "status_detail": ""}
    assert written.identical(expected.assign_attrs(ending))
    assert writer.log.file.closed
    assert open_run(tmp_path / "run").identical(written)
    assert open_run(str(tmp_path / "run" / "trajectory.nc")).identical(written)
    assert {p.name for p in (tmp_path / "run").iterdir()} == {
        "trajectory.nc", "log.jsonl", "scenario.yaml", "checkpoints", "SHA256SUMS", ".lock"
    }  # fmt: skip
    done = subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=tmp_path / "run", check=False)
    assert done.returncode == 0


def test_a_trajectory_with_another_digest_is_refused(tmp_path: Path) -> None:
    writer = _write(tmp_path / "run")
    writer.finish()
    write_netcdf(trajectory(), tmp_path / "run" / "trajectory.nc")
    with pytest.raises(DataError, match="damaged, its digest is not the one in SHA256SUMS"):
        open_run(tmp_path / "run")


def test_every_number_has_a_checksum(tmp_path: Path) -> None:
    write_netcdf(trajectory(), tmp_path / "t.nc")
    with NetCdf(str(tmp_path / "t.nc")) as file:
        assert {"time", "lam", "response", "wall_time", "control", "functional"} <= set(file.variables)
        assert all(v.filters()["fletcher32"] and v.filters()["zlib"] for v in file.variables.values())


def test_trajectory_without_points(tmp_path: Path) -> None:
    write_netcdf(trajectory(0), tmp_path / "t.nc")
    assert open_run(tmp_path / "t.nc").identical(trajectory(0))


def test_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "t.nc"
    write_netcdf(trajectory(), file)
    before = file.read_bytes()

    def half(self: xr.Dataset, path: Path, **kwargs: Any) -> None:
        Path(path).write_bytes(before[: len(before) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(xr.Dataset, "to_netcdf", half)
    with pytest.raises(DataError, match="No space left"):
        write_netcdf(trajectory(5), file)
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]


def test_what_does_not_read_back_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = xr.Dataset.to_netcdf
    monkeypatch.setattr(
        xr.Dataset, "to_netcdf", lambda self, path, **k: write(self.assign(rate=2 * self.rate), path, **k)
    )
    with pytest.raises(DataError, match="differs"):
        write_netcdf(trajectory(), tmp_path / "t.nc")
    assert not list(tmp_path.iterdir())


def test_damaged_numbers_are_noticed(tmp_path: Path) -> None:
    # A run long enough for its numbers to be most of the file; headers have no checksum.
    written = trajectory(2000)
    write_netcdf(written, tmp_path / "t.nc")
    whole = (tmp_path / "t.nc").read_bytes()
    with NetCdf(str(tmp_path / "t.nc")) as file:
        assert file["wall_time"].filters()["zlib"]
    rng, refused = np.random.default_rng(0), 0
    for place in rng.integers(len(whole) // 2, len(whole), 10):
        (tmp_path / "t.nc").write_bytes(whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :])
        try:
            assert open_run(tmp_path / "t.nc").equals(written)
        except DataError:
            refused += 1
    assert refused


@pytest.mark.parametrize("content", [b"", b"CDF\x01", b"\x89HDF\r\n\x1a\n" + bytes(100), b"time,rate\n0,1\n"])
def test_no_netcdf_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "trajectory.nc").write_bytes(content)
    with pytest.raises(DataError, match=r"trajectory\.nc: not a readable trajectory"):
        open_run(tmp_path)


def test_foreign_netcdf_is_refused(tmp_path: Path) -> None:
    xr.Dataset({"temperature": ("time", [1.0])}).to_netcdf(tmp_path / "weather.nc")
    with pytest.raises(DataError, match="not a trajectory of this program"):
        open_run(tmp_path / "weather.nc")


def test_nothing_to_open(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(DataError, match="not a run directory"):
            open_run(path)
    (tmp_path / "log.jsonl").write_text("")
    with pytest.raises(DataError, match="before it began"):
        open_run(tmp_path)
    assert "FAILED" not in {finding.verdict for finding in verify(tmp_path)}
    with pytest.raises(DataError, match="no checkpoint"):
        last_checkpoint(tmp_path)


def test_last_checkpoint_is_the_newest(tmp_path: Path) -> None:
    writer = _write(tmp_path / "run", 0)
    for index in (0, 10, 9):
        (writer.path / "checkpoints" / f"{index:06d}.safetensors").touch()
    (writer.path / "checkpoints" / ".000011.safetensors.tmp-1").touch()
    (writer.path / "checkpoints" / "mine.safetensors").touch()
    assert last_checkpoint(writer.path) == writer.path / "checkpoints" / "000010.safetensors"


def test_used_directory_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="already exists and is not empty") as raised:
        RunWriter.create(tmp_path, "")
    assert raised.value.exit_code == 2
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]
    with pytest.raises(UserError):
        RunWriter.create(tmp_path / "mine.txt", "")
    with pytest.raises(DataError, match="cannot write the run directory") as raised:
        RunWriter.create(tmp_path / "mine.txt" / "run", "")
    assert raised.value.exit_code == 4


@pytest.mark.parametrize("operation", ["append", "flush"])
def test_a_line_that_is_cut_off_leaves_the_chain_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    writer = _write(tmp_path / "run")

    def interrupt(name: str, path: Path, content: bytes) -> None:
        if name == operation:
            path.write_bytes(path.read_bytes() + content[:20])
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("rdc_dyn.store.disk.before", interrupt)
        with pytest.raises(KeyboardInterrupt):
            writer.record(record(0.3))
    writer.record(record(0.4))
    logged = read_log(tmp_path / "run")
    assert logged.damage == "" and [r.time for r in logged.records] == [0.0, 0.1, 0.2, 0.4]


def test_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(operation: str, path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    writer = RunWriter(tmp_path, Lock.take(tmp_path, "a test"), Log.open(tmp_path))
    monkeypatch.setattr("rdc_dyn.store.disk.before", full)
    with pytest.raises(DataError, match=r"log\.jsonl: cannot be written \(No space left on device\)"):
        writer.record(record())
    writer.close()

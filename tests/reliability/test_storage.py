"""A process that dies between two steps of storage, a full disk, and two writers in one directory."""

from __future__ import annotations

import errno
import os
import resource
import time
from pathlib import Path
from typing import Any

import pytest

import rdc_dyn
from rdc_dyn.store.checkpoint import load_checkpoint
from rdc_dyn.store.run_directory import checkpoints
from rdc_dyn.store.segments import read_segment
from tests.reliability.made import (
    ABORTED,
    begin_or_resume,
    begin_or_resume_until,
    finish,
    same_bits,
    spawn,
    temporaries,
)
from tests.tiny import linear_gaussian

TREE = linear_gaussian(output={"checkpoint_every": 2})


def _steps(scratch: Path) -> int:
    process = spawn(begin_or_resume_until, scratch / "counted", TREE, -1, scratch / "count")
    process.join(120)
    return int((scratch / "count").read_text())


def _aborted(scratch: Path, step: int, again: int) -> None:
    run = scratch / f"{step}"
    for at in (step, again):
        process = spawn(begin_or_resume_until, run, TREE, at)
        process.join(120)
        assert process.exitcode in (ABORTED, 0), f"step {at} ended with {process.exitcode}"
    assert same_bits(finish(run, TREE), rdc_dyn.open_run(scratch / "counted")), f"aborted at {step}, then at {again}"
    assert not temporaries(run)


def test_abort_before_some_steps_of_storage(scratch: Path) -> None:
    steps = _steps(scratch)
    assert steps > 40
    for step in range(0, steps, 25):
        _aborted(scratch, step, 7 * step % steps)


@pytest.mark.slow
def test_abort_before_every_step_of_storage(scratch: Path) -> None:
    steps = _steps(scratch)
    for step in range(steps):
        _aborted(scratch, step, 7 * step % steps)


def _limited(run: Path, tree: dict[str, Any], size: int) -> None:
    """No file may grow beyond a size, as on a disk that is full; the exit code is that of the command."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    try:
        begin_or_resume(run, tree)
    except rdc_dyn.DataError as error:
        assert "\n" not in str(error)
        os._exit(error.exit_code)


@pytest.mark.parametrize("share", [0.005, 0.05, 0.3, "segment", "trajectory"])
def test_a_full_disk_stops_a_run_and_leaves_it_whole(scratch: Path, share: float | str) -> None:
    """The scenario, the log, a piece and the trajectory in turn are what does not fit."""
    run, whole = scratch / "run", finish(scratch / "whole", TREE)
    piece, final = (os.path.getsize(scratch / "whole" / n) for n in ("segments/000000.nc", "trajectory.nc"))
    assert final > piece
    # Not by a byte: how well the wall times compress differs from run to run.
    named = {"segment": 9 * piece // 10, "trajectory": (piece + final) // 2}
    size = named[share] if isinstance(share, str) else int(share * piece)
    process = spawn(_limited, run, TREE, size)
    process.join(120)
    assert process.exitcode == 4
    for file in checkpoints(run):
        for segment in load_checkpoint(file).segments:
            read_segment(run, segment)
    assert same_bits(finish(run, TREE), whole)
    assert not temporaries(run)


@pytest.mark.parametrize("call", [3, 5, 7, 9])
def test_a_failing_write_is_one_line_and_resumable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int) -> None:
    calls, replace = [0], os.replace

    def full(*arguments: Any) -> None:
        calls[0] += 1
        if calls[0] >= call:
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(*arguments)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(rdc_dyn.DataError, match="No space left on device") as raised:
        rdc_dyn.run(TREE, tmp_path / "run")
    assert raised.value.exit_code == 4
    monkeypatch.setattr(os, "replace", replace)
    assert same_bits(rdc_dyn.resume(tmp_path / "run"), rdc_dyn.run(TREE))


def test_too_little_space_is_seen_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(rdc_dyn.DataError, match=r"has 0\.0 MB left and .* MB are needed"):
        rdc_dyn.run(TREE, tmp_path / "run")


def _refused(run: Path, tree: dict[str, Any], ready: Path) -> None:
    """Begin at an agreed moment; exit code 2 where another has the directory."""
    while not ready.exists():
        time.sleep(0.001)
    try:
        rdc_dyn.run(tree, run)
    except rdc_dyn.UserError as error:
        assert "another run is writing here" in str(error) or "is not empty" in str(error), error
        os._exit(error.exit_code)


@pytest.mark.slow
def test_of_two_processes_in_one_directory_one_runs(scratch: Path) -> None:
    _two(scratch, 50)


def test_of_two_processes_in_one_directory_one_runs_a_few_times(scratch: Path) -> None:
    _two(scratch, 3)


def _two(scratch: Path, times: int) -> None:
    for number in range(times):
        run, ready = scratch / f"{number}", scratch / f"ready{number}"
        both = [spawn(_refused, run, TREE, ready) for _ in range(2)]
        ready.touch()
        size = 0
        while any(process.exitcode is None for process in both):
            if (run / "log.jsonl").exists():
                now = (run / "log.jsonl").stat().st_size
                assert now >= size, "the log of the first one shrank"
                size = now
            time.sleep(0.002)
        for process in both:
            process.join()
        assert sorted(process.exitcode or 0 for process in both) == [0, 2]
        assert rdc_dyn.open_run(run).attrs["status"] == "COMPLETED"


def test_the_lock_of_a_dead_process_is_taken_over(scratch: Path) -> None:
    run = scratch / "run"
    process = spawn(begin_or_resume_until, run, TREE, 30)
    process.join(120)
    assert process.exitcode == ABORTED
    assert (run / ".lock").read_text().split()[0] == str(process.pid)
    assert finish(run, TREE).attrs["status"] == "COMPLETED"


def test_a_living_holder_is_named(tmp_path: Path) -> None:
    from rdc_dyn.store.lock import Lock

    with pytest.warns(rdc_dyn.RunWarning):
        rdc_dyn.run(TREE, tmp_path / "run", max_time=1e-9)
    lock = Lock.take(tmp_path / "run", "a test")
    with pytest.raises(rdc_dyn.UserError, match=rf"another run is writing here \(process {os.getpid()} on "):
        rdc_dyn.resume(tmp_path / "run")
    lock.release()
    assert rdc_dyn.resume(tmp_path / "run").attrs["status"] == "COMPLETED"

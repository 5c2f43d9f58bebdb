"""A full disk, and two writers in one directory."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path
from typing import Any

import pytest

import rdc_dyn
from rdc_dyn.store.checkpoint import load_checkpoint
from rdc_dyn.store.log import read_log
from rdc_dyn.store.run_directory import checkpoints
from tests.reliability.made import ABORTED, TREE, begin_or_resume, finish, same_bits, spawn, temporaries, with_fault


def _limited(run: Path, tree: dict[str, Any], size: int) -> None:
    """No file may grow beyond a size, as on a disk that is full; the exit code is that of the command."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    try:
        begin_or_resume(run, tree)
    except rdc_dyn.DataError as error:
        assert "\n" not in str(error)
        os._exit(error.exit_code)


@pytest.mark.parametrize("share", [0.02, 0.9, *(pytest.param(s, marks=pytest.mark.slow) for s in (0.005, 0.04, 0.06))])
def test_a_full_disk_stops_a_run_and_leaves_it_whole(scratch: Path, share: float) -> None:
    """The scenario, the log, a checkpoint and the trajectory in turn are what does not fit."""
    run, whole = scratch / "run", finish(scratch / "whole", TREE)
    final = os.path.getsize(scratch / "whole" / "trajectory.nc")
    size = int(share * final)
    process = spawn(_limited, run, TREE, size)
    process.join(120)
    assert process.exitcode == 4
    for file in checkpoints(run):
        mark = load_checkpoint(file).log
        assert read_log(run, mark.length).mark == mark
    assert same_bits(finish(run, TREE), whole)
    assert not temporaries(run)


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


@pytest.mark.slow
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
    process = spawn(with_fault, "dies", 30, 0, begin_or_resume, run, TREE)
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

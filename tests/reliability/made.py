"""Runs in processes of their own that can be killed, and what two trajectories must share to the last bit."""

from __future__ import annotations

import errno
import hashlib
import multiprocessing
import os
import random
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

import rdc_dyn
from rdc_dyn.store import disk
from tests.tiny import linear_gaussian

#: What depends on when a run happened, by name: nothing else may differ.
PASSING = ("wall_time",)
PASSING_ATTRIBUTES = ("history",)
#: Exit code of a process that a test has stopped by `os._exit`.
ABORTED = 77
#: Exit code of a process that had come to its end before the fault it was to meet.
PASSED = 78

#: What is run where any run will do.
TREE = linear_gaussian(output={"checkpoint_every": 2})

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.reliability.made", "tests.reliability.warm"])

_SOLVED = {"response": {"solver": {"method": "cg", "preconditioner": "factorised"}}}
#: One scenario of each kind of path, with a few segments and checkpoints in each.
SCENARIOS: dict[str, dict[str, Any]] = {
    method: linear_gaussian(
        **_SOLVED,
        process={"span": [0.0, 1.0], "path": {"lam": 1.6, "gamma": 2.2}},
        integrator={"method": method, "step_size": 0.1, **({"rtol": 1e-6} if method == "dopri5" else {})},
        output={"checkpoint_every": 2},
    )
    for method in ("euler", "rk4", "dopri5")
}
_MOVED = [
    [1.5, 0.1, 0.2, 0.4, 0.2],
    [0.1, 1.4, 0.1, 0.3, 0.1],
    [0.2, 0.1, 0.8, 0.1, 0.2],
    [0.4, 0.3, 0.1, 1.1, 0.1],
    [0.2, 0.1, 0.2, 0.1, 0.9],
]
SCENARIOS["transfer"] = linear_gaussian(
    **_SOLVED,
    data={"path": "optimal_transport"},
    objective={"target_second_moment": _MOVED},
    integrator={"method": "rk4", "step_size": 0.1},
    output={"checkpoint_every": 2},
) | {"process": {"kind": "iso_classification_transfer", "span": [0.0, 1.0], "lam_rate": 0.3}}


def same_bits(one: xr.Dataset, other: xr.Dataset) -> bool:
    """Whether two trajectories agree in every bit of every number and in every attribute, passing things left out."""
    if set(one.variables) != set(other.variables) or one.sizes != other.sizes:
        return False
    for name in set(one.variables) - set(PASSING):
        a, b = np.asarray(one[name].values), np.asarray(other[name].values)
        equal = a.tobytes() == b.tobytes() if a.dtype.kind == "f" else a.tolist() == b.tolist()
        if (a.dtype.kind == "f") != (b.dtype.kind == "f") or not equal:
            return False
    attributes = [{k: v for k, v in d.attrs.items() if k not in PASSING_ATTRIBUTES} for d in (one, other)]
    return attributes[0] == attributes[1]


def start(run: Path, tree: dict[str, Any], trust: bool = False) -> BaseProcess:
    """Begin a run, or go on with it, in a process of its own."""
    return spawn(begin_or_resume, run, tree, trust)


def spawn(work: Callable[..., Any], *arguments: Any) -> BaseProcess:
    """A process that has everything imported already."""
    process = _CONTEXT.Process(target=work, args=arguments)
    process.start()
    return process


def begin_or_resume(run: Path, tree: dict[str, Any], trust: bool = False) -> None:
    import torch

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    if (run / "scenario.yaml").exists():
        rdc_dyn.resume(run, trust=trust)
    else:
        rdc_dyn.run(tree, run, trust=trust)


#: What an operation on a file can meet: the process dies before it, or after a part of it; it fails once, or for ever.
FAULTS = ("dies", "torn", "fails once", "fails")


def with_fault(fault: str, at: int, seed: int, work: Callable[..., Any], *arguments: Any) -> None:
    """Do some work in this process, in which operation number `at` on a file, from 0, meets a fault.

    The exit code is that of the command line, or `PASSED` where the work was over before.
    """
    taken, rng = 0, random.Random(f"{seed} {at}")

    def before(operation: str, path: Path, content: bytes) -> None:
        nonlocal taken
        hit = taken == at or (fault == "fails" and taken > at)
        taken += 1
        if not hit:
            return
        if fault in ("dies", "torn"):
            if fault == "torn" and content:
                with open(path, "ab") as file:
                    file.write(content[: rng.randrange(len(content))])
            os._exit(ABORTED)
        raise OSError(rng.choice((errno.ENOSPC, errno.EIO)), "injected")

    disk.before = before
    try:
        work(*arguments)
    except rdc_dyn.DataError as error:
        assert "injected" in str(error) and "\n" not in str(error), error
        os._exit(error.exit_code)
    os._exit(0 if taken > at else PASSED)


def finish(run: Path, tree: dict[str, Any], trust: bool = False) -> xr.Dataset:
    """Let a run go on to its end, undisturbed."""
    process = start(run, tree, trust)
    process.join(120)
    assert process.exitcode == 0, f"resume ended with {process.exitcode}"
    return rdc_dyn.open_run(run)


def kill_after(process: BaseProcess, seconds: float) -> bool:
    """kill -9 after some seconds; whether the process was still there."""
    process.join(seconds)
    if process.exitcode is not None:
        return False
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    return True


def duration(run: Path, tree: dict[str, Any]) -> tuple[float, xr.Dataset]:
    """Seconds that a run takes undisturbed, and its trajectory."""
    spawn(time.time).join()  # the first process waits for the imports
    began = time.monotonic()
    trajectory = finish(run, tree)
    return time.monotonic() - began, trajectory


def temporaries(run: Path) -> list[Path]:
    return [path for path in run.rglob("*") if ".tmp" in path.name]


def draws(seed: int) -> random.Random:
    return random.Random(seed)


class Here(Executor):
    """Runs every point in this process, so that its operations are counted."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(function(*arguments, **named))
        return future


def sweep_here(path: Path) -> None:
    """Run, or go on with, two points of `TREE` in this process."""
    rdc_dyn.sweep(TREE, {"start.gamma": [1.0, 1.2]}, output=path, executor=Here(), threads=1)


def two_runs_and_a_sweep(folder: Path) -> None:
    """A run that was stopped, one that has ended, and a sweep."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rdc_dyn.run(TREE, folder / "stopped", max_time=1e-9)
        rdc_dyn.run(TREE, folder / "ended")
        sweep_here(folder / "sweep")


def surroundings(folder: Path) -> dict[str, str]:
    """A digest of all that lies outside the directory, and does not move."""
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in folder.rglob("*")
    }


@contextmanager
def nobody() -> Iterator[None]:
    """Not root, who may read everything."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)

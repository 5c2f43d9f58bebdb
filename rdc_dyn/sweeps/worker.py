"""Run one point in a worker process; every executor calls the same function."""

from __future__ import annotations

import os
import shutil
import threading
import traceback
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rdc_dyn import scenario as scenarios
from rdc_dyn.status import Status, UserError
from rdc_dyn.store.packed import pack, stamp
from rdc_dyn.store.run_directory import SCENARIO, TRAJECTORY, checkpoints
from rdc_dyn.sweeps.directory import program

if TYPE_CHECKING:
    import xarray as xr

    from rdc_dyn.objective.own_modules import Own

#: Variables that the libraries behind torch read once, when they are loaded.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
#: Thread counts and warning filters belong to a whole process, but a dask worker may have several threads.
_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True)
class Task:
    """A point to run.

    Attributes:
        text: Its resolved scenario as YAML, without relative paths.
        path: Run directory to write.
        packed: Packed copy to write.
        threads: CPU threads, if the scenario does not set them.
        device: Overrides the scenario's device.
        program: Version and commit of the sweep, which the worker must share.
        networks: Modules for parts of the objective.
    """

    name: str
    text: str
    path: Path
    packed: Path
    threads: int
    device: str | None
    program: str
    networks: Own | None = None


@dataclass(frozen=True)
class Outcome:
    """How a point ended.

    Attributes:
        status: Name of a `Status`, or FAILED if there is no trajectory.
        exit_code: The exit code that `rdc-dyn run` would have had.
        traceback: Of an unexpected exception, else empty.
    """

    name: str
    status: str
    exit_code: int
    message: str
    traceback: str = ""

    @property
    def failed(self) -> bool:
        """Whether the point did not run to its end."""
        return self.exit_code != 0


def failure(name: str, exit_code: int, message: str, trace: str = "") -> Outcome:
    """The outcome of a point without a trajectory, with the first line of its message."""
    lines = message.strip().splitlines() or ["no message"]
    return Outcome(name, "FAILED", exit_code, lines[0] + (f" (and {len(lines) - 1} more)" * (len(lines) > 1)), trace)


def run_point(task: Task) -> Outcome:
    """Run a point into its run directory; whatever goes wrong becomes an outcome."""
    with _ONE_AT_A_TIME:
        if program() != task.program:
            return failure(task.name, 2, f"the worker has {program()}, the sweep {task.program}; give both the same")
        for variable in THREAD_VARIABLES:
            os.environ[variable] = str(task.threads)
        try:
            return _run(task)
        except UserError as error:
            return failure(task.name, error.exit_code, str(error))
        except Exception as error:
            return failure(task.name, 1, f"{type(error).__name__}: {error}", traceback.format_exc())


def _run(task: Task) -> Outcome:
    import torch

    from rdc_dyn.running.recorder import RunWarning
    from rdc_dyn.running.runner import run_scenario

    torch.set_num_threads(task.threads)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RunWarning)  # the outcome reports it
        trajectory = _gone_on(task)
        if trajectory is None:
            if task.path.exists():  # an earlier attempt that cannot be resumed
                shutil.rmtree(task.path)
            trajectory = run_scenario(
                scenarios.loads(task.text), Path("/"), task.path, device=task.device, networks=task.networks
            )
    source = stamp(task.path / TRAJECTORY)
    assert source is not None, "a run that returns has written its trajectory"
    pack(trajectory, source, task.packed)
    status, detail = Status[trajectory.attrs["status"]], trajectory.attrs["status_detail"]
    return Outcome(task.name, status.name, status.exit_code, status.value + (f" ({detail})" if detail else ""))


def _gone_on(task: Task) -> xr.Dataset | None:
    """The trajectory of an interrupted attempt, resumed from its last checkpoint to its end.

    None if there is no checkpoint of this very scenario, or the run cannot be resumed, such as one that has failed.
    """
    from rdc_dyn.running.resumption import resume

    scenario = scenarios.loads(task.text)
    if task.device is not None:
        scenario = scenario.model_copy(update={"device": task.device})
    try:
        if not checkpoints(task.path) or (task.path / SCENARIO).read_text(encoding="utf-8") != scenarios.dump(scenario):
            return None
        return resume(task.path, device=task.device, networks=task.networks)
    except (UserError, OSError, UnicodeDecodeError):  # whatever prevents resuming, starting anew is always right
        return None

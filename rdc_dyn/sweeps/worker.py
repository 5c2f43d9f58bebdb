"""Run one point in a worker process; every executor calls the same function."""

from __future__ import annotations

import os
import threading
import traceback
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rdc_dyn import scenario as scenarios
from rdc_dyn.scenario import Scenario
from rdc_dyn.status import RESUMABLE, DataError, RunWarning, Status, UserError
from rdc_dyn.store.provenance import program
from rdc_dyn.store.run_directory import DIGESTS, SCENARIO, checkpoints, open_run, read_text
from rdc_dyn.sweeps.directory import discard

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
        threads: CPU threads, if the scenario does not set them.
        device: Overrides the scenario's device.
        program: Version and commit of the sweep, which the worker must share.
        networks: Modules for parts of the objective.
        trust: Whether the code of files that the scenario names may run.
    """

    name: str
    text: str
    path: Path
    threads: int
    device: str | None
    program: str
    networks: Own | None = None
    trust: bool = False


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

    from rdc_dyn.running.runner import run

    torch.set_num_threads(task.threads)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RunWarning)  # the outcome reports it
        scenario, device, networks = scenarios.loads(task.text), task.device, task.networks
        trajectory = _gone_on(task, scenario)
        if trajectory is None:
            discard(task.path)  # what is left of an earlier attempt
            trajectory = run(scenario, task.path, device=device, networks=networks, trust=task.trust, progress=False)
    status, detail = Status[trajectory.attrs["status"]], trajectory.attrs["status_detail"]
    return Outcome(task.name, status.name, status.exit_code, status.value + (f" ({detail})" if detail else ""))


def _gone_on(task: Task, scenario: Scenario) -> xr.Dataset | None:
    """The trajectory of an interrupted attempt, resumed from its last checkpoint to its end.

    None if there is nothing of this very scenario that could be resumed, or the run has failed. Whatever else prevents
    resuming, such as a full disk or another process in the directory, is an error: nothing may be removed then.
    """
    from rdc_dyn.running.resumption import NoCheckpointError, resume

    if task.device is not None:
        scenario = scenario.model_copy(update={"device": task.device})
    if not checkpoints(task.path) or not _same(task.path, scenarios.dump(scenario)):
        return None
    try:
        ended = open_run(task.path).attrs["status"]
    except DataError:
        if not (task.path / DIGESTS).exists():
            raise
        return None  # it ended, and is damaged
    if ended in Status.__members__ and ended not in RESUMABLE:
        return None
    try:
        return resume(task.path, device=task.device, networks=task.networks, trust=task.trust, progress=False)
    except NoCheckpointError:
        return None


def _same(run: Path, scenario: str) -> bool:
    return (run / SCENARIO).exists() and read_text(run, SCENARIO) == scenario

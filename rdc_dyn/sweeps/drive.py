"""Drive the points of a sweep through an executor until all have ended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait

from rdc_dyn.sweeps.local import WorkerDied
from rdc_dyn.sweeps.progress import SweepProgress
from rdc_dyn.sweeps.worker import Outcome, Task, failure, run_point

#: Seconds between updates of the running points on the display.
_INTERVAL = 0.5


def drive(
    tasks: Sequence[Task], executor: Executor, progress: SweepProgress, *, fail_fast: bool = False
) -> Iterator[Outcome]:
    """Run all tasks and yield each outcome as it comes; with `fail_fast`, start none after the first failure.

    A point whose worker process died may have lacked memory. Unless `fail_fast` is set, it is tried once more, alone,
    when all others have ended.
    """
    died: list[Task] = []
    for task, end in _ends(tasks, executor, progress, fail_fast):
        if isinstance(end, WorkerDied) and not fail_fast:
            died.append(task)
        else:
            yield _final(task, end)
    for again in died:
        for task, end in _ends([again], executor, progress, fail_fast):
            yield _final(task, end)


def _final(task: Task, end: Outcome | WorkerDied) -> Outcome:
    return end if isinstance(end, Outcome) else failure(task.name, end.exit_code, str(end))


def _ends(
    tasks: Sequence[Task], executor: Executor, progress: SweepProgress, fail_fast: bool
) -> Iterator[tuple[Task, Outcome | WorkerDied]]:
    """Submit all tasks and yield each with its end; with `fail_fast`, start none after the first failure."""
    waiting: dict[Future[Outcome], Task] = {executor.submit(run_point, task): task for task in tasks}
    while waiting:
        progress.running([task.name for future, task in waiting.items() if future.running()])
        ended, _ = wait(waiting, timeout=_INTERVAL, return_when=FIRST_COMPLETED)
        for future in ended:
            task = waiting.pop(future)
            if future.cancelled():
                continue
            end = _end(future, task)
            if fail_fast and (isinstance(end, WorkerDied) or end.failed):
                for other in waiting:
                    other.cancel()  # has no effect on one that is running
            yield task, end


def _end(future: Future[Outcome], task: Task) -> Outcome | WorkerDied:
    error = future.exception()
    if error is None:
        return future.result()
    # Other executors raise their own: dask, for one, gives up on a point that has killed several of its workers.
    return error if isinstance(error, WorkerDied) else failure(task.name, 1, f"{type(error).__name__}: {error}")

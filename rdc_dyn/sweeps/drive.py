"""Points through an executor, until all have ended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait

from rdc_dyn.sweeps.local import WorkerDied
from rdc_dyn.sweeps.progress import SweepProgress
from rdc_dyn.sweeps.worker import Outcome, Task, failure, run_point

#: How often the display hears which points are running, in seconds.
_INTERVAL = 0.5


def drive(
    tasks: Sequence[Task], executor: Executor, progress: SweepProgress, *, fail_fast: bool = False
) -> Iterator[Outcome]:
    """Run all tasks.

    A point whose worker process died is tried once more when all others have ended, alone: it may have lacked memory.

    Args:
        tasks: What to run.
        executor: Where.
        progress: Told what is running.
        fail_fast: Begin nothing more after a failure; what is running then still ends.

    Yields:
        Each outcome, as it comes; none for points that were not begun.
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
    """Submit all tasks, and give each with its end; with fail_fast none is begun after the first failure."""
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
                    other.cancel()  # without effect on one that is running
            yield task, end


def _end(future: Future[Outcome], task: Task) -> Outcome | WorkerDied:
    error = future.exception()
    if error is None:
        return future.result()
    # Of another executor: dask, for one, gives up on a point that has killed several of its workers.
    return error if isinstance(error, WorkerDied) else failure(task.name, 1, f"{type(error).__name__}: {error}")

"""Worker processes, on this machine or of a dask.distributed cluster, and the points of a sweep driven through them."""

import logging
import os
import queue
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, NamedTuple

from rdc_dyn.status import DataError, UserError
from rdc_dyn.sweeps.progress import SweepProgress
from rdc_dyn.sweeps.worker import THREAD_VARIABLES, Outcome, Task, failure, run_point

_CONTEXT = get_context("spawn")  # a fork would copy torch and HDF5 in whatever state their threads are
_GRACE = 5.0
_ENVIRONMENT = threading.Lock()


class WorkerDied(Exception):  # noqa: N818  # an event, not an error of the program
    """A worker process died during a run; a negative exit code is the number of the signal that killed it."""

    def __init__(self, exit_code: int | None) -> None:
        code = exit_code if exit_code is not None else 1
        how = f"killed by {signal.Signals(-code).name}" if -code in set(signal.Signals) else f"exit code {code}"
        hint = "; perhaps out of memory" if code == -signal.SIGKILL else ""
        super().__init__(f"its worker process died ({how}{hint})")
        self.exit_code = 128 - code if code < 0 else code


class _Call(NamedTuple):
    future: Future[Any]
    function: Callable[..., Any]
    arguments: tuple[Any, ...]


class LocalWorkers(Executor):
    """A fixed number of worker processes, each started when there is work for it and replaced when it dies.

    The number of CPU threads of each process is set before the process loads any library.
    """

    def __init__(self, jobs: int, threads: int) -> None:
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._threads, self._stopped = threads, False
        self._processes: set[BaseProcess] = set()
        self._managers = [threading.Thread(target=self._manage, daemon=True) for _ in range(jobs)]
        for manager in self._managers:
            manager.start()

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        """Run `function(*arguments)`, all of which can be pickled, in a worker process.

        The future raises `WorkerDied` if the process does not survive. Named arguments are not accepted (TypeError).
        """
        if named:
            raise TypeError("LocalWorkers takes positional arguments only")
        future: Future[Any] = Future()
        self._calls.put(_Call(future, function, arguments))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let the workers end after their work, or cut off running calls with `cancel_futures`."""
        self._stopped = self._stopped or cancel_futures
        for _ in self._managers:
            self._calls.put(None)
        if cancel_futures:
            for process in list(self._processes):
                process.terminate()
        if wait:
            for manager in self._managers:
                manager.join()

    def _manage(self) -> None:
        """Feed calls to one worker process after another; each manager runs in a thread of this process."""
        # Ctrl-C reaches all processes of a terminal but is meant for the first alone; its children inherit this mask.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        worker: tuple[BaseProcess, Connection] | None = None
        while (call := self._calls.get()) is not None:
            if self._stopped or not call.future.set_running_or_notify_cancel():
                call.future.cancel()
                continue
            try:
                worker = worker or self._start()
                worker[1].send((call.function, call.arguments))
                answer = worker[1].recv()
            except (EOFError, OSError):
                exit_code = None if worker is None else self._end(worker)
                worker = None
                call.future.set_exception(WorkerDied(exit_code))
                continue
            except Exception as error:  # the call cannot be pickled
                call.future.set_exception(error)
                continue
            call.future.set_exception(answer) if isinstance(answer, BaseException) else call.future.set_result(answer)
        if worker is not None:
            self._end(worker)

    def _start(self) -> tuple[BaseProcess, Connection]:
        ours, theirs = _CONTEXT.Pipe()
        process = _CONTEXT.Process(target=_work, args=(theirs,), daemon=True)
        with _threads_in_environment(self._threads):
            process.start()
        theirs.close()
        self._processes.add(process)
        if self._stopped:
            process.terminate()
        return process, ours

    def _end(self, worker: tuple[BaseProcess, Connection]) -> int | None:
        """Let a worker end, kill it if it does not, and return its exit code."""
        process, connection = worker
        connection.close()  # the worker, waiting for work, reads the end of the pipe
        process.join(_GRACE)
        if process.is_alive():
            process.kill()
            process.join()
        self._processes.discard(process)
        return process.exitcode


@contextmanager
def _threads_in_environment(threads: int) -> Iterator[None]:
    """Set the thread variables that a new process inherits; user scripts import torch at their top."""
    with _ENVIRONMENT:
        before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
        os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
        try:
            yield
        finally:
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})


def _work(connection: Connection) -> None:
    """Body of a worker process."""
    threading.Thread(target=_die_with_parent, daemon=True).start()
    while True:
        try:
            function, arguments = connection.recv()
        except EOFError:
            return
        try:
            answer = function(*arguments)
        except BaseException as error:
            answer = error
        connection.send(answer)


def _die_with_parent() -> None:
    """Exit when the parent process dies, for the next sweep may already be writing to the same directory."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


_PATIENCE = "10 s"


@contextmanager
def cluster(address: str) -> Iterator[Executor]:
    """Connect to a scheduler, at an address such as tcp://host:8786, and yield its cluster as an executor.

    The workers must see the sweep directory under the same path. Raises UserError if dask.distributed is missing or the
    address is malformed, and DataError if no scheduler answers.
    """
    try:
        from distributed import Client
    except ImportError:
        raise UserError("--dask needs dask.distributed: pip install 'rdc-dyn[dask]'") from None
    logging.getLogger("distributed").setLevel(logging.ERROR)
    try:
        # A default client, closed or never connected, would remain for whatever uses dask next, such as xarray.
        client = Client(address, timeout=_PATIENCE, set_as_default=False)
    except ValueError as error:
        raise UserError(f"--dask {address}: not the address of a scheduler ({error})") from None
    except OSError as error:  # timeouts included
        reason = str(error).splitlines()[0] if str(error) else "no answer"
        raise DataError(f"--dask {address}: no scheduler answers ({reason})") from None
    with client:
        yield client.get_executor(pure=False)


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

"""Worker processes on this machine, as a `concurrent.futures.Executor`.

Not `ProcessPoolExecutor`: there a process that dies (of memory, say) takes the pool and all runs in flight with it.
Here each process has a pipe of its own, so that its death is known by its exit code and concerns one run.
"""

from __future__ import annotations

import os
import queue
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, NamedTuple

from rdc_dyn.sweeps.worker import THREAD_VARIABLES

_CONTEXT = get_context("spawn")  # a fork would copy the threads of torch and HDF5 in any state
_GRACE = 5.0
_ENVIRONMENT = threading.Lock()


class WorkerDied(Exception):  # noqa: N818  # what happened, not an error of this program
    """A worker process ended in the middle of a run.

    Args:
        exit_code: Negative: the number of the signal that killed it.
    """

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
    """So many worker processes, each begun when there is work for it and replaced when it dies.

    Args:
        jobs: Number of processes.
        threads: CPU threads of each; set before anything is loaded there.
    """

    def __init__(self, jobs: int, threads: int) -> None:
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._threads, self._stopped = threads, False
        self._processes: set[BaseProcess] = set()
        self._managers = [threading.Thread(target=self._manage, daemon=True) for _ in range(jobs)]
        for manager in self._managers:
            manager.start()

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        """Run `function(*arguments)` in a worker process.

        Args:
            function: Importable there.
            arguments: Can be pickled.
            named: None are taken.

        Returns:
            Its future; a `WorkerDied` if its process did not survive.

        Raises:
            TypeError: If there are named arguments.
        """
        if named:
            raise TypeError("LocalWorkers takes positional arguments only")
        future: Future[Any] = Future()
        self._calls.put(_Call(future, function, arguments))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let the workers end: after their work, or at once.

        Args:
            wait: Whether to wait until they have ended.
            cancel_futures: Whether to cut off what is running.
        """
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
        """One worker process after another, from a thread of this process."""
        # Ctrl-C reaches all processes of a terminal, but is for the first alone; its children inherit this mask.
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
            except Exception as error:  # what was to be sent cannot be pickled
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
        """Let a worker end, and make sure of it."""
        process, connection = worker
        connection.close()  # it waits for work, and so finds that there will be none
        process.join(_GRACE)
        if process.is_alive():
            process.kill()
            process.join()
        self._processes.discard(process)
        return process.exitcode


@contextmanager
def _threads_in_environment(threads: int) -> Iterator[None]:
    """What a new process finds before its first import; the scripts of users import torch at their top."""
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
    """A sweep that was killed must not go on writing: the next one may be at the same directory."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)

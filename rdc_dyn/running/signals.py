"""Defer SIGINT and SIGTERM during a commit; at other times they abort the step that is being computed.

A second SIGINT ends the process at once.
"""

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from types import FrameType
from typing import Any

from rdc_dyn.status import ExitCode

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
#: Held while something is written.
_WRITING = threading.RLock()
#: Seconds within which two signals are one: `timeout`, for example, sends the same one twice.
_ONE = 0.1
#: Seconds for which a process that is to end waits for a commit.
_PATIENCE = 10.0


@dataclass
class Signals:
    """Whether something is being written, and which signal arrived meanwhile.

    Attributes:
        deaf: Whether signals do nothing, as process 0 of several heeds them for all.
        handlers: The caller's handlers, which raise.
    """

    deaf: bool = False
    busy: bool = False
    waiting: int | None = None
    handlers: dict[int, Callable[[int, FrameType | None], Any]] = field(default_factory=dict)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Commit: a signal is handled when the commit is over."""
        with _WRITING:
            self.busy = True
            try:
                yield
            finally:
                self.busy = False
        if self.waiting is not None:
            number, self.waiting = self.waiting, None
            self.handlers[number](number, None)

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Intercept the signals that Python handles for the duration of a run; those left to the system stay so."""
        if threading.current_thread() is not threading.main_thread():
            yield  # only the main thread receives signals and can set handlers
            return
        before = {number: signal.getsignal(number) for number in _SIGNALS}
        self.handlers = {number: handler for number, handler in before.items() if callable(handler)}
        for number in self.handlers:
            signal.signal(number, self._handle)
        try:
            yield
        finally:
            for number in self.handlers:
                signal.signal(number, before[signal.Signals(number)])

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.deaf:
            return
        if self.busy:
            self.waiting = number
            return
        self.handlers[number](number, frame)


@cache
def end_at_second_interrupt() -> None:
    """From now on end the process with exit code 130 when a second SIGINT comes, whatever the main thread computes.

    Handlers in Python run between its instructions, hence not within a long factorisation. A thread is told at once, by
    the file descriptor to which the interpreter writes the number of each signal.
    """
    receiver, sender = socket.socketpair()
    sender.setblocking(False)
    signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(receiver, sender), name="signals", daemon=True).start()


def _watch(receiver: socket.socket, sender: socket.socket) -> None:
    """Wait for the second SIGINT; `sender` is kept open."""
    first: float | None = None
    while True:
        now = receiver.recv(1)[0] == signal.SIGINT
        if now and first is not None and time.monotonic() - first > _ONE:
            _WRITING.acquire(timeout=_PATIENCE)
            show_cursor = b"\x1b[?25h" if sys.__stderr__ is not None and sys.__stderr__.isatty() else b""
            os.write(2, show_cursor + b"rdc-dyn: ended by a second signal\n")
            os._exit(ExitCode.SIGINT)
        first = time.monotonic() if now and first is None else first

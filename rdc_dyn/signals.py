"""SIGINT and SIGTERM never come in the middle of a commit: they wait for its end, or drop the step that is computed."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass
class Signals:
    """Whether something is being written, and what came meanwhile.

    Attributes:
        busy: Something is being written.
        waiting: Signal that came meanwhile, or None.
        handlers: Those of the caller, which raise.
    """

    busy: bool = False
    waiting: int | None = None
    handlers: dict[int, Callable[[int, FrameType | None], Any]] = field(default_factory=dict)

    @contextmanager
    def held(self) -> Iterator[None]:
        """A commit: a signal is taken when it is over; a second one is taken at once.

        Yields:
            Nothing.
        """
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
        """For a run: stand before the signal handlers in Python; those of the system stay as they are.

        Yields:
            Nothing.
        """
        if threading.current_thread() is not threading.main_thread():
            yield  # only a main thread can, and only there do signals arrive
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
        if self.busy and self.waiting is None:
            self.waiting = number
            return
        self.handlers[number](number, frame)

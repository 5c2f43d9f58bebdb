"""Defer SIGINT and SIGTERM during a commit; at other times they abort the step that is being computed."""

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
    """Whether something is being written, and which signal arrived meanwhile.

    Attributes:
        handlers: The caller's handlers, which raise.
    """

    busy: bool = False
    waiting: int | None = None
    handlers: dict[int, Callable[[int, FrameType | None], Any]] = field(default_factory=dict)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Commit: a signal is handled when the commit is over, a second one at once."""
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
        if self.busy and self.waiting is None:
            self.waiting = number
            return
        self.handlers[number](number, frame)

"""Show the progress of a sweep: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from rdc_dyn.running.progress import Callback, Watcher, asked, hours
from rdc_dyn.status import plain
from rdc_dyn.sweeps.worker import Outcome

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

#: Rows of the live table; the rest are counted.
_ROWS = 12


@runtime_checkable
class SweepProgress(Protocol):
    """Receives the progress of a sweep, and by default does nothing about it."""

    def begin(self, values: Mapping[str, Mapping[str, Any]], already: int) -> None:
        """These points, by name, are about to run; `already` others were done before."""
        return

    def running(self, names: Sequence[str]) -> None:
        """These points are running."""
        return

    def outcome(self, outcome: Outcome) -> None:
        """A point has ended."""
        return

    def close(self) -> None:
        """The sweep is over."""
        return


def describe(values: Mapping[str, Any]) -> str:
    """The values of a point in one line: keys without their sections, sections by their method, kind or name."""

    def short(value: Any) -> str:
        if isinstance(value, dict):
            return str(next((value[tag] for tag in ("method", "kind", "name") if tag in value), json.dumps(value)))
        return value if isinstance(value, str) else json.dumps(value)

    return plain(" ".join(f"{key.rpartition('.')[2]}={short(value)}" for key, value in values.items()))


class Count(SweepProgress):
    """Counts the points that have ended and estimates the time left; prints nothing."""

    def __init__(self) -> None:
        self.values: Mapping[str, Mapping[str, Any]] = {}
        self.done = self.failed = self.already = 0
        self._began = time.monotonic()

    def begin(self, values: Mapping[str, Mapping[str, Any]], already: int) -> None:
        """Start counting."""
        self.values, self.already, self._began = values, already, time.monotonic()

    def outcome(self, outcome: Outcome) -> None:
        """Count the point."""
        self.failed += outcome.failed
        self.done += not outcome.failed

    @property
    def summary(self) -> str:
        """Points done out of all, points failed, and the time left."""
        ended = self.done + self.failed
        left = len(self.values) - ended
        eta = hours((time.monotonic() - self._began) * left / ended) if ended else "-"
        return f"{self.already + self.done}/{self.already + len(self.values)} done, {self.failed} failed, ETA {eta}"


class Calls(Count):
    """Calls a function of the user's at each point that ends, with its number from 0 and the counts so far."""

    def __init__(self, function: Callback) -> None:
        super().__init__()
        self._watcher = Watcher(function)

    def outcome(self, outcome: Outcome) -> None:
        """Count the point and call the function."""
        super().outcome(outcome)
        ended = self.done + self.failed
        counts = {"done": float(self.done), "failed": float(self.failed), "fraction": ended / len(self.values)}
        self._watcher(ended - 1, counts)


class Plain(Count):
    """Prints a line for each point that ends, for logs and pipes."""

    def begin(self, values: Mapping[str, Mapping[str, Any]], already: int) -> None:
        """Print how much there is to do."""
        super().begin(values, already)
        print(f"{len(values)} points to run, {already} there already", flush=True)

    def outcome(self, outcome: Outcome) -> None:
        """Count the point and print its line."""
        super().outcome(outcome)
        word = f"failed ({outcome.status})" if outcome.failed else "done"
        print(f"{outcome.name}  {describe(self.values[outcome.name])}: {word}; {self.summary}", flush=True)


class Live(Count):
    """Shows a table of the running points above the counts; failed points scroll by above it."""

    def __init__(self, console: Console | None = None) -> None:
        from rich.console import Console
        from rich.live import Live as Display

        super().__init__()
        self._running: dict[str, float] = {}
        self._display = Display(console=console or Console(), get_renderable=self._table, refresh_per_second=4)

    def begin(self, values: Mapping[str, Mapping[str, Any]], already: int) -> None:
        """Start drawing."""
        super().begin(values, already)
        self._display.start()

    def running(self, names: Sequence[str]) -> None:
        """Update the rows of the table, each with the time since its point was first seen."""
        now = time.monotonic()
        self._running = {name: self._running.get(name, now) for name in names}

    def outcome(self, outcome: Outcome) -> None:
        """Take the point out of the table, and print it above if it failed."""
        super().outcome(outcome)
        self._running.pop(outcome.name, None)
        if outcome.failed:
            text = plain(f"{outcome.name}  {describe(self.values[outcome.name])}: {outcome.status}: {outcome.message}")
            self._display.console.print(text, style="yellow", markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Stop drawing, with the counts left on the screen."""
        self._running = {}
        self._display.stop()

    def _table(self) -> RenderableType:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, show_header=False)
        for name, since in list(self._running.items())[:_ROWS]:
            table.add_row("running", name, Text(describe(self.values[name])), f"{time.monotonic() - since:.0f} s")
        if len(self._running) > _ROWS:
            table.add_row("", "", f"and {len(self._running) - _ROWS} more", "")
        total = self.already + len(self.values)
        ended = self.already + self.done + self.failed
        bar = Table.grid(padding=(0, 1))
        bar.add_row(ProgressBar(total=max(total, 1), completed=ended, width=30), Text(self.summary))
        return Group(table, bar)


def choose_progress(quiet: bool) -> SweepProgress:
    """Live on a terminal, plain lines elsewhere, nothing if `quiet`."""
    if quiet:
        return Count()
    return Live() if sys.stdout.isatty() else Plain()


def chosen(progress: SweepProgress | Callback | Literal["auto", False] | None) -> SweepProgress:
    """The progress that an argument of `rdc_dyn.sweep` asks for; UserError if it is nothing of the kind."""
    return asked(progress, SweepProgress, choose_progress, Calls)

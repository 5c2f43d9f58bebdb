"""What a user sees during a run: a live display on a terminal, plain lines elsewhere, or calls of a function."""

from __future__ import annotations

import inspect
import math
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, runtime_checkable

from rdc_dyn.record import Event, Record
from rdc_dyn.scenario.written import shorten
from rdc_dyn.status import RunWarning, UserError, first_line, plain, warn

if TYPE_CHECKING:
    from rich.console import Console


#: Gets a step and numbers by name; what it returns is ignored.
Callback = Callable[[int, dict[str, float]], object]
Display = TypeVar("Display")


class Watcher:
    """Calls a function of the user's; what it raises becomes a warning, since watching must not cost a run."""

    def __init__(self, function: Callback) -> None:
        self._function = function
        self._warned: dict[Any, Any] = {}

    def __call__(self, step: int, values: dict[str, float]) -> None:
        """Call the function."""
        try:
            self._function(step, values)
        except Exception as error:
            name = getattr(self._function, "__name__", type(self._function).__name__)
            text = plain(f"progress: {name} raised {first_line(error)}; the run goes on")
            place = traceback.extract_tb(error.__traceback__)[:2][-1]  # of the function, not of what it calls
            warnings.warn_explicit(text, RunWarning, place.filename, place.lineno or 1, registry=self._warned)


def asked(
    progress: object, display: type[Display], choose: Callable[[bool], Display], calls: Callable[[Callback], Display]
) -> Display:
    """The display that an argument `progress` asks for; UserError if it is none and no function of step and numbers."""
    if progress is None or progress is False or (isinstance(progress, str) and progress == "auto"):
        return choose(not progress)
    if not isinstance(progress, type):
        if isinstance(progress, display):
            return progress
        if callable(progress) and _takes_two(progress):
            return calls(progress)
    *others, last = (name for name in vars(display) if not name.startswith("_"))
    methods = f"{', '.join(others)} and {last}"
    raise UserError(
        f'progress: {shorten(repr(progress))}; expected "auto", False, a function of (step, values), or an object with '
        f"the methods {methods}"
    )


def _takes_two(function: Callable[..., object]) -> bool:
    try:
        inspect.signature(function).bind(0, {})
    except TypeError:
        return False
    except ValueError:  # some functions written in C do not tell what they take
        return True
    return True


#: Headers and widths of the table's columns, 80 characters in all.
_COLUMNS = {"time": 9, "lam": 10, "gamma": 10, "R": 11, "D": 12, "C": 11, "|grad J|": 9, "ETA": 8}


@runtime_checkable
class Progress(Protocol):
    """Receives reports on the progress of a run, and by default does nothing about them."""

    def equilibrating(self, phase: str, step: int, free_energy: float, residual: float) -> None:
        """Report a step of equilibrating the start, with J and its `residual` ‖∇J‖."""
        return

    def record(self, record: Record, fraction: float) -> None:
        """Report a recorded point; `fraction` of the span is done."""
        return

    def event(self, event: Event) -> None:
        """Report an event."""
        return

    def close(self) -> None:
        """End the display."""
        return


class Silent(Progress):
    """Shows nothing."""


class Calls(Silent):
    """Calls a function of the user's at each recorded point, with its index in the trajectory and its numbers."""

    def __init__(self, function: Callback) -> None:
        self._watcher, self._index = Watcher(function), 0

    def record(self, record: Record, fraction: float) -> None:
        """Call the function."""
        index, self._index = self._index, self._index + 1
        numbers = {"time": record.time, "fraction": fraction, **record.values}
        self._watcher(index, {name: float(value) for name, value in numbers.items() if not math.isnan(value)})

    def event(self, event: Event) -> None:
        """Go on counting where the run does."""
        if event.kind == "resumed":
            self._index = event.values["points"]


class _Eta:
    """Remaining time, extrapolated from what was done since the first record, with which a resumed run goes on."""

    def __init__(self) -> None:
        self._began: tuple[float, float] | None = None

    def text(self, fraction: float) -> str:
        """Remaining hours, minutes and seconds; a dash before anything is done."""
        now = time.monotonic()
        began, before = self._began = self._began or (now, fraction)
        if fraction <= before:
            return "-"
        return hours((now - began) * (1 - fraction) / (fraction - before))


def hours(seconds: float) -> str:
    """Hours, minutes and seconds."""
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"


def _row(cells: Iterable[str]) -> str:
    """Cells aligned under their headers; a long number pushes the rest aside but never touches its neighbour."""
    return "".join(f" {cell:>{width - 1}}" for cell, width in zip(cells, _COLUMNS.values()))


def _cells(record: Record, eta: str) -> list[str]:
    names = ("lam", "gamma", "rate", "distortion", "classification_loss")
    numbers = [f"{record.values[name]:.5g}" for name in names]
    return [f"{record.time:.6g}", *numbers, f"{record.values['equilibrium_residual']:.1e}", eta]


def _equilibrating(phase: str, step: int, free_energy: float, residual: float) -> str:
    return f"equilibrating ({phase} {step}): J {free_energy:.6g}, |grad J| {residual:.1e}"


def _sentence(event: Event) -> str:
    return plain(f"{event.kind} at time {event.time:.5g}: {event.text}")


class Plain(Silent):
    """Prints a line per record and event, for logs and pipes."""

    def __init__(self) -> None:
        self._eta = _Eta()
        self._header = False
        self._last = 0.0

    def equilibrating(self, phase: str, step: int, free_energy: float, residual: float) -> None:
        """Print a line every five seconds."""
        if time.monotonic() - self._last > 5 or step == 0:
            self._last = time.monotonic()
            print(_equilibrating(phase, step, free_energy, residual), flush=True)

    def record(self, record: Record, fraction: float) -> None:
        """Print a row of the table."""
        if not self._header:
            print(_row(_COLUMNS))
            self._header = True
        print(_row(_cells(record, self._eta.text(fraction))), flush=True)

    def event(self, event: Event) -> None:
        """Print a sentence to standard error."""
        if event.kind != "end":
            print(_sentence(event), file=sys.stderr, flush=True)


class Live:
    """Shows the same table above a bar, from the first report on: an earlier error leaves the terminal alone."""

    transient = False

    def __init__(self, console: Console | None = None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn
        from rich.progress import Progress as Bar

        self._eta = _Eta()
        self._header = False
        columns = (BarColumn(bar_width=20), TaskProgressColumn(), TextColumn("{task.description}", markup=False))
        self._bar = Bar(*columns, console=console or Console(), transient=self.transient)
        self._task = self._bar.add_task("starting", total=1.0)

    def equilibrating(self, phase: str, step: int, free_energy: float, residual: float) -> None:
        """Show phase, step, J and ‖∇J‖ beside the bar."""
        self._bar.start()
        self._bar.update(self._task, description=_equilibrating(phase, step, free_energy, residual))

    def record(self, record: Record, fraction: float) -> None:
        """Print a row of the table and advance the bar."""
        self._bar.start()
        if not self._header:
            self._print(_row(_COLUMNS), "bold")
            self._header = True
        eta = self._eta.text(fraction)
        self._print(_row(_cells(record, eta)), "")
        self._bar.update(self._task, completed=fraction, description=f"time {record.time:.6g}, ETA {eta}")

    def event(self, event: Event) -> None:
        """Print a sentence in the table."""
        if event.kind != "end":
            self._print(_sentence(event), "yellow" if event.kind in ("warning", "collapsed", "rejected") else "cyan")

    def close(self) -> None:
        """Stop the bar and leave its last state on the screen."""
        self._bar.stop()

    def _print(self, text: str, style: str) -> None:
        self._bar.console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


class Notebook(Live):
    """Shows the bar alone, with the numbers of the last point, and takes it away at the end."""

    transient = True

    def record(self, record: Record, fraction: float) -> None:
        """Advance the bar."""
        self._bar.start()
        told = zip(_COLUMNS, _cells(record, self._eta.text(fraction)))
        text = ", ".join(f"{name} {cell}" for name, cell in told)
        self._bar.update(self._task, completed=fraction, description=text)

    def event(self, event: Event) -> None:
        """Do nothing: `ds.rdc.events` has them."""


def choose_progress(quiet: bool) -> Progress:
    """A live display on a terminal, a bar in a notebook, plain lines elsewhere, nothing if `quiet`.

    A notebook without ipywidgets shows nothing: rich would only warn there, again and again.
    """
    if quiet:
        return Silent()
    if _in_notebook():
        return Notebook() if find_spec("ipywidgets") else Silent()
    return Live() if sys.stdout.isatty() else Plain()


def chosen(progress: Progress | Callback | Literal["auto", False] | None) -> Progress:
    """The progress that an argument of `rdc_dyn.run` asks for; UserError if it is nothing of the kind."""
    return asked(progress, Progress, choose_progress, Calls)


def _in_notebook() -> bool:
    interactive = sys.modules.get("IPython")
    shell = None if interactive is None else interactive.get_ipython()
    return type(shell).__name__ == "ZMQInteractiveShell"


#: A descent is superlinear at its end, so that its pace before foretells up to ten times the steps that it takes
#: (digits VAEs of 623 and 2,110 parameters, 75 to 308 steps): only what is further off than this is told.
_MARGIN = 10.0


@dataclass
class Outlook:
    """Passes on the steps of an equilibration, and judges its second quarter by the fall of the lowest |∇J|.

    Attributes:
        progress: Receives the steps.
        tolerance: On |∇J|.
        steps: Those that Newton may take.
        clock: Process clock of the start.
    """

    progress: Progress
    tolerance: float
    steps: int
    clock: float
    _lowest: float = math.inf
    _quarter: tuple[float, float] = field(default=(math.nan, math.nan))
    _told: bool = False

    def __call__(self, phase: str, step: int, free_energy: float, residual: float) -> None:
        """Take a step, with J and |∇J|."""
        self.progress.equilibrating(phase, step, free_energy, residual)
        if phase != "newton":
            return
        self._lowest = min(self._lowest, residual)
        quarter = self.steps // 4
        if step == quarter:
            self._quarter = self._lowest, time.monotonic()
        elif step == 2 * quarter and quarter and not self._told:
            self._told = True
            self._judge(quarter)

    def _judge(self, quarter: int) -> None:
        if self._lowest <= self.tolerance:
            return
        before, since = self._quarter
        fall, left = math.log(before / self._lowest), math.log(self._lowest / self.tolerance)
        more = quarter * left / fall if fall > 0 else math.inf
        if more <= _MARGIN * self.steps:
            return
        minutes = (time.monotonic() - since) / quarter * more / 60
        when = f"take {more:.2g} more ({minutes:.2g} min) to reach" if math.isfinite(more) else "never reach"
        text = (
            f"the start may not become an equilibrium: |grad J| is {self._lowest:.1e} after {2 * quarter} of "
            f"{self.steps} steps, and at the pace of the last {quarter} it would {when} {self.tolerance:.1e}; raise "
            "start.equilibrate.adam_steps or objective.weight_prior_precision, or loosen start.equilibrate.tolerance"
        )
        warn(text)
        self.progress.event(Event("warning", self.clock, text, {}))

"""A function of the user's that watches a run or a sweep."""

from __future__ import annotations

import inspect
import traceback
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

from rdc_dyn.scenario.written import shorten
from rdc_dyn.status import RunWarning, UserError, first_line, plain

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

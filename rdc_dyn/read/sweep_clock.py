"""The common clock of several runs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rdc_dyn.store.dataset import dims
from rdc_dyn.store.lazy_run import LazyRun

#: Longest union of clocks that is used as it is.
MOST_TIMES = 1000
_ROUNDING = 1e-9


def choose_clock(clocks: Sequence[np.ndarray]) -> np.ndarray:
    """The longest clock if the others are prefixes of it, else the union of all clocks.

    A union of more than `MOST_TIMES` times is replaced by that many equidistant ones. Clocks may be empty, but not all.
    """
    longest = max(clocks, key=len)
    if all(_is_beginning(clock, longest) for clock in clocks):
        return longest
    everything = np.sort(np.concatenate(list(clocks)))
    gap = _ROUNDING * (everything[-1] - everything[0])
    union = everything[np.concatenate([[True], np.diff(everything) > gap])]
    return union if union.size <= MOST_TIMES else np.linspace(union[0], union[-1], MOST_TIMES)


def on_clock(run: LazyRun, name: str, times: np.ndarray) -> np.ndarray:
    """A variable of a non-empty run on the common clock, time last; NaN outside the span of the run.

    Values are as recorded if the run's clock is a prefix of the common one, and interpolated otherwise.
    """
    own = run.read("time")
    if _is_beginning(own, times):
        values = run.read(name)
        missing = np.full((*values.shape[:-1], times.size - own.size), np.nan)
        return np.concatenate([values, missing], axis=-1)
    from rdc_dyn.read.identities import to_common_clock

    # The further variables tell branches apart, so that no spline runs across a jump or round a fold.
    part = run.dataset(name, "jump_theta", "morse_index")
    return to_common_clock(part, times)[name].transpose(*dims(name)).values


def _is_beginning(clock: np.ndarray, whole: np.ndarray) -> bool:
    """Whether a clock is a prefix of another, to rounding."""
    if clock.size > whole.size:
        return False
    span = abs(whole[-1] - whole[0]) or 1.0
    return bool(np.all(np.abs(clock - whole[: clock.size]) <= _ROUNDING * span))

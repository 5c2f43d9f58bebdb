"""A clock for many runs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rdc_dyn.output.packed import Packed

#: The union of all clocks is used up to so many times.
MOST_TIMES = 1000
_ROUNDING = 1e-9


def choose_clock(clocks: Sequence[np.ndarray]) -> np.ndarray:
    """Find the common clock: that of the longest run where the others are its beginning, else the union of all.

    Args:
        clocks: Times of each run; some may be empty.

    Returns:
        Increasing times; equidistant ones where the union has more than `MOST_TIMES`.
    """
    longest = max(clocks, key=len)
    if all(_is_beginning(clock, longest) for clock in clocks):
        return longest
    everything = np.sort(np.concatenate(list(clocks)))
    gap = _ROUNDING * (everything[-1] - everything[0])
    union = everything[np.concatenate([[True], np.diff(everything) > gap])]
    return union if union.size <= MOST_TIMES else np.linspace(union[0], union[-1], MOST_TIMES)


def on_clock(run: Packed, name: str, times: np.ndarray) -> np.ndarray:
    """Take a variable of a run to the common clock.

    Args:
        run: The run, of at least one point.
        name: Of the variable, whose last dimension is time.
        times: The common clock.

    Returns:
        Its values as recorded, with NaN behind the last, where its clock is the beginning of the common one; elsewhere
        interpolated within its span, and NaN outside.
    """
    own = run.read("time")
    if _is_beginning(own, times):
        values = run.read(name)
        missing = np.full((*values.shape[:-1], times.size - own.size), np.nan)
        return np.concatenate([values, missing], axis=-1)
    from rdc_dyn.output.identities import to_common_clock

    # With what tells the branches apart: nothing is interpolated over a jump or round a fold.
    part = run.dataset(name, "jump_theta", "morse_index")
    return to_common_clock(part, times)[name].transpose(*run.columns[name].dims).values


def _is_beginning(clock: np.ndarray, whole: np.ndarray) -> bool:
    """Whether a clock is the beginning of another, to rounding."""
    if clock.size > whole.size:
        return False
    span = abs(whole[-1] - whole[0]) or 1.0
    return bool(np.all(np.abs(clock - whole[: clock.size]) <= _ROUNDING * span))

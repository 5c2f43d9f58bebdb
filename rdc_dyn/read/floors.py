"""Whose floor errors are at: that of the solver, the corrector, the start, the reference or of rounding."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import xarray as xr


def floor_reasons(comparison: xr.Dataset) -> Iterator[tuple[str, str, int]]:
    """Quantity, reason, and the number of runs in which that quantity is at its floor for that reason."""
    for quantity in map(str, comparison["quantity"].values):
        reasons = Counter(str(each) for each in comparison.floor_reason.sel(quantity=quantity).values if each)
        yield from ((quantity, reason, count) for reason, count in sorted(reasons.items()))

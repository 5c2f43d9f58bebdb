"""Format a comparison as text of at most 100 columns, and as CSV."""

import math
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from rdc_dyn.comparison.errors import QUANTITIES
from rdc_dyn.read.shown import floor_reasons
from rdc_dyn.status import Status
from rdc_dyn.store.commit import commit

_WIDTH = 100
_HEADS = dict(zip(QUANTITIES, ("(lam,gam)", "(R,D,C)", "held", "closure")))
_ERROR = 7  # width of an error without its mark


def show(comparison: xr.Dataset) -> str:
    """Format the whole comparison as lines of at most 100 columns."""
    references = _wrap(f"reference: {comparison.attrs['reference']}")
    references += _wrap(f"its own error: {comparison.attrs['reference_error']}")
    parts = [references, _runs(comparison), _floors(comparison), _orders(comparison)]
    parts += [_failed(comparison), _advice(comparison)]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def _wrap(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=indent, subsequent_indent=indent + "  ")


def _table(columns: Sequence[Column | str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a table; names that have no room end in an ellipsis."""
    table = Table(*columns, box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for row in rows:
        table.add_row(*(Text(cell, no_wrap=True, overflow="ellipsis") for cell in row))
    console = Console(width=_WIDTH, color_system=None, force_terminal=False)
    with console.capture() as captured:
        console.print(table)
    return [line.rstrip() for line in captured.get().splitlines()]


def _runs(comparison: xr.Dataset) -> list[str]:
    """The work-precision table, with a line for each run that computed something."""
    shown = comparison.isel(run=np.isfinite(comparison.gradient_equivalents.values))
    rows = []
    for one in (shown.isel(run=k) for k in range(shown.sizes["run"])):
        errors = [_error(one, quantity) for quantity in QUANTITIES]
        cost = (f"{one.gradient_equivalents.item():>7.0f}", f"{one.wall_time.item():>6.3g}")
        rows.append((str(one.run.item()), str(one.series.item()), f"{one.resolution.item():>9.4g}", *errors, *cost))
    heads = (f"{head:>{_ERROR}}" for head in _HEADS.values())
    lines = _table([Column("run", max_width=12), "series", "step/rtol", *heads, "grad-eq", "time/s"], rows)
    marks = "* at its floor, left out of the order"
    if (shown.status != Status.COMPLETED.name).any():
        marks += "; ! did not complete, compared as far as it came, left out of the order"
    if (shown.run == shown.reference).any():
        marks += "; - no error of its own: the reference, or nothing held"
    return [*lines, *_wrap(marks)]


def _error(run: xr.Dataset, quantity: str) -> str:
    """An error and its mark, together at least as wide as the head of their column."""
    value, width = run[quantity].item(), max(_ERROR, len(_HEADS[quantity]) - 1)
    low, stopped = run.at_floor.sel(quantity=quantity).item(), run.status.item() != Status.COMPLETED.name
    text = f"{value:.1e}" if math.isfinite(value) else "-"
    return f"{text:>{width}}" + ("!" if stopped else "*" if low else " ")


def _floors(comparison: xr.Dataset) -> list[str]:
    """Why points were left out, by quantity and reason."""
    lines = []
    for quantity, reason, count in floor_reasons(comparison):
        lines += _wrap(f"{_HEADS[quantity]} at its floor in {count} run{'s' * (count > 1)}: {reason}")
    return lines


def _orders(comparison: xr.Dataset) -> list[str]:
    rows, notes = [], []
    for name in map(str, comparison.series_name.values):
        one = comparison.sel(series_name=name)
        rows.append((name, *(f"{_order(one.sel(quantity=q)):>17}" for q in QUANTITIES)))
        # The confidence interval of an observed power of rtol contains zero.
        flat = (one.order_kind == "rtol") & (one.order_low <= 0) & (one.order_high >= 0)
        unbound = [_HEADS[q] for q in QUANTITIES if flat.sel(quantity=q)]
        if unbound:
            why = "where the cost does not either, integrator.step_size bounds the steps"
            notes += _wrap(f"{name}: {', '.join(unbound)} not seen to depend on the tolerance; {why}")
    title = "observed order p, error ~ step^p (of tolerances: error ~ rtol^p), its 95 % half-width, points used"
    return [title, *_table(["series", *(f"{head:>17}" for head in _HEADS.values())], rows), *notes]


def _order(one: xr.Dataset) -> str:
    """The observed order of one quantity in one series."""
    if not math.isfinite(one.order):
        return "at floor" if one.at_floor.where(one.series == one.series_name, False).any() else "-"
    half = f"±{0.5 * float(one.order_high - one.order_low):.2f}" if math.isfinite(one.order_low) else "±?"
    return f"{one.order.item():.2f} {half} ({one.order_points.item()})"


def _failed(comparison: xr.Dataset) -> list[str]:
    failed = comparison.isel(run=comparison.status.values != Status.COMPLETED.name)
    lines = [f"{failed.sizes['run']} of {comparison.sizes['run']} runs did not complete"]
    for one in (failed.isel(run=k) for k in range(failed.sizes["run"])):
        which = f"{one.series.item()}, {one.resolution.item():g}"
        lines += _wrap(f"{one.run.item()} ({which}): {one.status.item()}: {one.message.item()}", "  ")
    return lines if failed.sizes["run"] else []


def cheapest(comparison: xr.Dataset, quantity: str = "error_losses") -> list[tuple[float, int]]:
    """The cheapest completed run below each power of ten of an error: pairs (power, run index), loosest first."""
    error, cost = _known(comparison, quantity), comparison.gradient_equivalents.values
    completed = comparison.status.values == Status.COMPLETED.name
    usable = np.flatnonzero(completed & np.isfinite(error) & np.isfinite(cost))
    if not usable.size:
        return []
    sizes = np.maximum(error[usable], np.finfo(float).tiny)
    found = []
    for decade in range(math.ceil(math.log10(sizes.max())), math.ceil(math.log10(sizes.min())) - 1, -1):
        good = usable[error[usable] <= 10.0**decade]
        if good.size:
            found.append((10.0**decade, int(good[cost[good].argmin()])))
    return found


def _known(comparison: xr.Dataset, quantity: str) -> np.ndarray:
    """Errors as far as they are known: none is smaller than that of the reference it was measured against."""
    own = np.nan_to_num(comparison.reference_error.sel(quantity=quantity).values)
    return np.maximum(comparison[quantity].values, own)


def _advice(comparison: xr.Dataset) -> list[str]:
    """The cheapest run of each decade, in one line for decades that share it, separately for each problem."""
    problems = [k for k in np.unique(comparison.problem.values) if k >= 0]
    lines = []
    for problem in problems:
        mine = comparison.isel(run=np.flatnonzero(comparison.problem.values == problem))
        tightest = {index: bound for bound, index in cheapest(mine)}
        if not tightest:
            continue
        where = f", problem {problem + 1} of {len(problems)}" if len(problems) > 1 else ""
        lines.append(f"cheapest run for an error of (R, D, C) of at most{where}")
        for index, bound in tightest.items():
            lines += _wrap(f"  {bound:.0e} nat: {_which(mine, index)}")
        known = np.where(mine.status.values == Status.COMPLETED.name, _known(mine, "error_losses"), np.nan)
        lines += _wrap(f"most accurate: {_which(mine, int(np.nanargmin(known)))}")
    return lines


def _which(comparison: xr.Dataset, index: int) -> str:
    one = comparison.isel(run=index)
    return (
        f"{one.series.item()}, {one.resolution_kind.item()} {float(one.resolution):g} ({one.run.item()}), "
        f"{float(one.gradient_equivalents):.0f} gradient-equivalents, {float(one.wall_time):.2g} s, "
        f"error {_known(comparison, 'error_losses')[index]:.1e}"
    )


def write_csv(comparison: xr.Dataset, path: Path) -> None:
    """Write a comparison as CSV, one row per run at full precision; DataError if the file cannot be written."""
    columns = {str(name): v.values for name, v in comparison.variables.items() if v.dims == ("run",)}
    columns |= {f"at_floor_{q}": comparison.at_floor.sel(quantity=q).values.astype(int) for q in QUANTITIES}
    columns |= {f"floor_reason_{q}": comparison.floor_reason.sel(quantity=q).values for q in QUANTITIES}
    text = pd.DataFrame(columns).to_csv(index=False, na_rep="nan", lineterminator="\r\n")
    commit(path, lambda file: file.write_bytes(text.encode()))

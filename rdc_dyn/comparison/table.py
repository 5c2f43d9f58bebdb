"""Format a comparison as text of at most 100 columns, and as CSV."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import xarray as xr

from rdc_dyn.comparison.errors import QUANTITIES
from rdc_dyn.status import DataError, Status

_WIDTH = 100
_HEADS = {
    "error_multipliers": "(lam,gam)",
    "error_losses": "(R,D,C)",
    "error_held": "held",
    "error_closure": "closure",
}
_NUMBER = 9  # width of an error and its mark


def show(comparison: xr.Dataset) -> str:
    """Format the whole comparison as lines of at most 100 columns."""
    parts = [_references(comparison), _runs(comparison), _floors(comparison), _orders(comparison)]
    parts += [_failed(comparison), _advice(comparison)]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def _references(comparison: xr.Dataset) -> list[str]:
    texts, sizes = comparison.attrs["reference"], comparison.attrs["reference_error"]
    return [line for text in (f"reference: {texts}", f"its own error: {sizes}") for line in _wrap(text)]


def _runs(comparison: xr.Dataset) -> list[str]:
    """The work-precision table, with a line for each run that computed something."""
    names = [str(name) for name in comparison.run.values]
    shown = [i for i, name in enumerate(names) if math.isfinite(float(comparison.gradient_equivalents[i]))]
    width = min(12, max([3, *(len(names[i]) for i in shown)]))
    series = [str(s) for s in comparison.series.values]
    room = min(_WIDTH - width - 9 - 4 * _NUMBER - 7 - 7 - 4, max([6, *(len(series[i]) for i in shown)]))
    heads = "".join(f"{_HEADS[q]:>{_NUMBER - 1}} " for q in QUANTITIES)
    lines = [f"{'run':<{width}} {'series':<{room}} {'step/rtol':>9} {heads}{'grad-eq':>7} {'time/s':>6}"]
    for i in shown:
        errors = "".join(_error(comparison, i, q) for q in QUANTITIES)
        lines.append(
            f"{_cut(names[i], width):<{width}} {_cut(series[i], room):<{room}} "
            f"{float(comparison.resolution[i]):>9.4g} {errors}"
            f"{float(comparison.gradient_equivalents[i]):>7.0f} {float(comparison.wall_time[i]):>6.3g}"
        )
    marks = "* at its floor, left out of the order"
    if any(str(comparison.status.values[i]) != Status.COMPLETED.name for i in shown):
        marks += "; ! did not complete, compared as far as it came, left out of the order"
    if any(names[i] == str(comparison.reference.values[i]) for i in shown):
        marks += "; - no error of its own: the reference, or nothing held"
    return [*lines, *_wrap(marks)]


def _error(comparison: xr.Dataset, index: int, quantity: str) -> str:
    value = float(comparison[quantity][index])
    stopped = str(comparison.status.values[index]) != Status.COMPLETED.name
    low = bool(comparison.at_floor.sel(quantity=quantity).values[index])
    mark = "!" if stopped else "*" if low else " "
    return (f"{value:>{_NUMBER - 1}.1e}" if math.isfinite(value) else f"{'-':>{_NUMBER - 1}}") + mark


def _floors(comparison: xr.Dataset) -> list[str]:
    """Why points were left out, by quantity and reason."""
    lines = []
    for j, quantity in enumerate(QUANTITIES):
        reasons = comparison.floor_reason.values[:, j]
        for reason in sorted({str(r) for r in reasons if r}):
            count = sum(str(r) == reason for r in reasons)
            lines += _wrap(f"{_HEADS[quantity]} at its floor in {count} run{'s' * (count > 1)}: {reason}")
    return lines


def _orders(comparison: xr.Dataset) -> list[str]:
    names = [str(name) for name in comparison.series_name.values]
    cell = 18
    room = min(_WIDTH - 4 * cell - 2, max([6, *(len(name) for name in names)]))
    heads = "".join(f"{_HEADS[q]:>{cell}}" for q in QUANTITIES)
    lines = ["observed order p, error ~ step^p (of tolerances: error ~ rtol^p), its 95 % half-width, points used"]
    lines.append(f"{'series':<{room}}{heads}")
    for i, name in enumerate(names):
        lines.append(f"{_cut(name, room):<{room}}" + "".join(_order(comparison, i, j) for j in range(len(QUANTITIES))))
    for i, name in enumerate(names):
        unbound = [_HEADS[q] for j, q in enumerate(QUANTITIES) if _flat(comparison, i, j)]
        if unbound:
            why = "where the cost does not either, integrator.step_size bounds the steps"
            lines += _wrap(f"{name}: {', '.join(unbound)} not seen to depend on the tolerance; {why}")
    return lines


def _flat(comparison: xr.Dataset, i: int, j: int) -> bool:
    """Whether the confidence interval of an observed power of rtol contains zero."""
    low, high = float(comparison.order_low.values[i, j]), float(comparison.order_high.values[i, j])
    return str(comparison.order_kind.values[i]) == "rtol" and low <= 0 <= high


def _order(comparison: xr.Dataset, i: int, j: int) -> str:
    value, low, high = (float(comparison[n].values[i, j]) for n in ("order", "order_low", "order_high"))
    points = int(comparison.order_points.values[i, j])
    if not math.isfinite(value):
        mine = comparison.series.values == comparison.series_name.values[i]
        every = bool((comparison.at_floor.values[mine, j]).any())
        return f"{'at floor' if every else '-':>18}"
    half = f"±{0.5 * (high - low):.2f}" if math.isfinite(low) else "±?"
    return f"{f'{value:.2f} {half} ({points})':>18}"


def _failed(comparison: xr.Dataset) -> list[str]:
    failed = [i for i, s in enumerate(comparison.status.values) if str(s) != Status.COMPLETED.name]
    if not failed:
        return []
    lines = [f"{len(failed)} of {comparison.sizes['run']} runs did not complete"]
    for i in failed:
        which = f"{comparison.series.values[i]}, {float(comparison.resolution[i]):g}"
        text = f"{comparison.run.values[i]} ({which}): {comparison.status.values[i]}: {comparison.message.values[i]}"
        lines += _wrap(text, "  ")
    return lines


def cheapest(comparison: xr.Dataset, quantity: str = "error_losses") -> list[tuple[float, int]]:
    """The cheapest completed run below each power of ten of an error: pairs (power, run index), loosest first."""
    error, cost = _known(comparison, quantity), comparison.gradient_equivalents.values
    usable = (comparison.status.values == Status.COMPLETED.name) & np.isfinite(error) & np.isfinite(cost)
    if not usable.any():
        return []
    sizes = np.maximum(error[usable], np.finfo(float).tiny)
    decades = range(math.ceil(math.log10(sizes.max())), math.ceil(math.log10(sizes.min())) - 1, -1)
    found = []
    for decade in decades:
        good = np.flatnonzero(usable & (error <= 10.0**decade))
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
        decades = cheapest(mine)
        if not decades:
            continue
        where = f", problem {problem + 1} of {len(problems)}" if len(problems) > 1 else ""
        lines.append(f"cheapest run for an error of (R, D, C) of at most{where}")
        for k, (bound, index) in enumerate(decades):
            if k + 1 == len(decades) or decades[k + 1][1] != index:
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


def _wrap(text: str, indent: str = "") -> list[str]:
    import textwrap

    return textwrap.wrap(text, _WIDTH, initial_indent=indent, subsequent_indent=indent + "  ")


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def csv_rows(comparison: xr.Dataset) -> Iterator[list[str]]:
    """A header and a row for each run, with numbers at full precision."""
    names = [str(n) for n, v in comparison.variables.items() if v.dims == ("run",)]
    yield [*names, *(f"at_floor_{q}" for q in QUANTITIES), *(f"floor_reason_{q}" for q in QUANTITIES)]
    for i in range(comparison.sizes["run"]):
        values = [comparison[name].values[i] for name in names]
        cells = [repr(float(v)) if isinstance(v, float | np.floating) else str(v) for v in values]
        low, reasons = comparison.at_floor.values[i], comparison.floor_reason.values[i]
        yield [*cells, *(str(int(v)) for v in low), *map(str, reasons)]


def write_csv(comparison: xr.Dataset, path: Path) -> None:
    """Write a comparison as CSV, one row per run; raises DataError if the file cannot be written."""
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(csv_rows(comparison))
    except OSError as error:
        raise DataError(f"{path}: cannot write the table ({error.strerror or error})") from None

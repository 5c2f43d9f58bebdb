"""The report of a sweep."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from rdc_dyn.read.plots import plot_losses, plot_residuals, plot_surface3d, plot_trajectory, plot_work_precision, styles
from rdc_dyn.read.report.page import Section, Table, page
from rdc_dyn.read.report.run import GRADIENT_EQUIVALENTS, explored, gradient_equivalents, provenance, residuals
from rdc_dyn.read.shown import floor_reasons
from rdc_dyn.status import DataError, in_words
from rdc_dyn.store.sweep_directory import Sweep, labels, text_of, value_list

#: The lines of more runs than this cannot be told apart.
MOST_DRAWN = 12
_SYMBOLS = {"error_multipliers": "(λ, γ)", "error_losses": "(R, D, C)"}


def sweep_report(
    sweep: Sweep, comparison: xr.Dataset | None = None, no_comparison: str = "", *, interactive: bool = False
) -> str:
    """An HTML page on a sweep: runs, failures, figures, comparison and provenance; DataError if no run has a point.

    `comparison` is that of `rdc_dyn.compare`; where it is None, the page gives `no_comparison` as the reason. With
    `interactive` it has a figure that one can turn, and scripts for that.
    """
    runs = {p.name: p.trajectory.dataset() for p in sweep.points if p.trajectory is not None}
    whole = _with_points(sweep, runs)
    states = [point.state for point in sweep.points]
    named = _named(sweep)
    lead = (
        f"{len(states)} runs over {', '.join(sweep.keys)}: {states.count('done')} done, {states.count('failed')} "
        f"failed, {states.count('missing')} missing."
    )
    sections = (
        Section("Runs", tables=[_runs(sweep, named, runs)]),
        _failures(sweep, named),
        _comparison(comparison, no_comparison),
        *explored(_chosen(named, whole), interactive),
        Section("Figures", figures=_figures(named, whole)),
        Section("Provenance", tables=[_provenance(sweep, whole)]),
        Section("Scenario", verbatim=sweep.scenario),
    )
    bad = "done" in states and len(set(states)) > 1
    return page(f"Sweep {sweep.path.resolve().name}", lead, sections, bad=bad)


def drawn_runs(sweep: Sweep) -> dict[str, xr.Dataset]:
    """Runs that have points, at most `MOST_DRAWN` and evenly chosen, by the values of the swept keys."""
    runs = {p.name: p.trajectory.dataset() for p in sweep.points if p.trajectory is not None}
    return _chosen(_named(sweep), _with_points(sweep, runs))


def _with_points(sweep: Sweep, runs: dict[str, xr.Dataset]) -> dict[str, xr.Dataset]:
    whole = {name: run for name, run in runs.items() if run.sizes["time"]}
    if not whole:
        raise DataError(f"{sweep.path}: no run of the sweep has a point")
    return whole


def _named(sweep: Sweep) -> dict[str, list[str]]:
    """The values of the swept keys of each run, in words; empty for a key that the run lacks."""
    words = {key: labels(value_list(sweep.points, key)) for key in sweep.keys}
    return {
        point.name: [words[key][text_of(point.values[key])] if key in point.values else "" for key in sweep.keys]
        for point in sweep.points
    }


def _runs(sweep: Sweep, named: dict[str, list[str]], runs: dict[str, xr.Dataset]) -> Table:
    headers = (*_short(sweep.keys), "status", "points", "grad-eq", "time/s", "max |∇J|", "closure", "run")
    rows: list[tuple[str | float, ...]] = [
        (*named[p.name], in_words(p.status), *_numbers(runs.get(p.name)), p.name) for p in sweep.points
    ]
    caption = f"grad-eq: {GRADIENT_EQUIVALENTS}. Costs include the equilibration of the start."
    return Table(headers, rows, f"{caption} closure: the largest closure of F against the work, in nat.")


def _short(keys: Sequence[str]) -> list[str]:
    """Swept keys without their sections, which the lead of the page gives, where that tells them apart."""
    last = [key.rpartition(".")[2] for key in keys]
    return [word if last.count(word) == 1 else key for key, word in zip(keys, last)]


def _numbers(run: xr.Dataset | None) -> tuple[float, ...]:
    if run is None or not run.sizes["time"]:
        return (0.0 if run is not None else math.nan, *[math.nan] * 4)
    found = residuals(run)
    return (
        float(run.sizes["time"]),
        gradient_equivalents(run),
        _rounded(run.wall_time[-1]),
        *(_rounded(found[name][0].max()) for name in ("equilibrium |∇J|", "closure of F against the work")),
    )


def _rounded(number: xr.DataArray) -> float:
    """A number to three digits: no more of it means anything."""
    return float(f"{float(number):.3g}")


def _failures(sweep: Sweep, named: dict[str, list[str]]) -> Section:
    bad = [point for point in sweep.points if point.state != "done"]
    if not bad:
        return Section("Failures", "Every run came to the end of its span.")
    rows = [(_title(named[p.name]), p.state, in_words(p.status), p.message, p.name) for p in bad]
    return Section("Failures", tables=[Table(("run", "state", "status", "reason", "name"), rows)])


def _title(values: list[str]) -> str:
    return ", ".join(value for value in values if value)


def _chosen(named: dict[str, list[str]], whole: dict[str, xr.Dataset]) -> dict[str, xr.Dataset]:
    chosen = [list(whole)[k] for k in np.unique(np.linspace(0, len(whole) - 1, MOST_DRAWN).round().astype(int))]
    titles = [_title(named[name]) or name for name in chosen]
    if len(set(titles)) < len(titles):  # where titles repeat, all runs go by name
        titles = chosen
    return {title: whole[name] for title, name in zip(titles, chosen)}


def _figures(named: dict[str, list[str]], whole: dict[str, xr.Dataset]) -> list[tuple[Figure, str]]:
    drawn = _chosen(named, whole)
    look = styles(list(drawn))  # each run has the same look in all figures
    text = "All runs." if len(drawn) == len(whole) else f"{len(drawn)} of {len(whole)} runs, evenly chosen."
    return [
        (plot_trajectory(drawn, look=look), f"Path, multipliers, C and |∇J|. {text}"),
        (plot_losses(drawn, look=look), f"Rate, distortion and classification loss. {text}"),
        (plot_residuals(drawn, look=look), f"Residuals; zero is drawn at 1e-17. {text}"),
        (plot_surface3d(drawn, look=look), f"The paths in (R, D, C). {text}"),
    ]


def _comparison(comparison: xr.Dataset | None, why: str) -> Section:
    if comparison is None:
        return Section("Comparison", f"There is no comparison: {why or 'none was asked for'}.")
    figure = (plot_work_precision(comparison), "Work–precision: error against cost.")
    tables = (_orders(comparison), _errors(comparison), _floors(comparison))
    return Section("Comparison", tables=[table for table in tables if table.rows], figures=[figure])


def _orders(comparison: xr.Dataset) -> Table:
    """The observed order of each series, with its confidence interval."""
    found = zip(*(comparison[name].values for name in ("series_name", "order", "order_low", "order_high")))
    rows = [(str(name), *(_order(*order) for order in zip(*orders))) for name, *orders in found]
    headers = ("series", *map(_symbol, comparison["quantity"].values))
    return Table(headers, rows, "Observed order [95 % confidence]; points at their floor are left out.")


def _order(value: float, low: float, high: float) -> str:
    """An order with its interval, which two points do not have."""
    interval = "" if math.isnan(low) else f" [{low:.2f}, {high:.2f}]"
    return "" if math.isnan(value) else f"{value:.2f}{interval}"


def _errors(comparison: xr.Dataset) -> Table:
    """The errors and cost of each run."""
    names = [str(name) for name in comparison.data_vars if str(name).startswith("error_")]
    rows: list[tuple[str | float, ...]] = []
    for k in range(comparison.sizes["run"]):
        one = comparison.isel(run=k)
        stars = ["*" if one["at_floor"].sel(quantity=name) else "" for name in names]
        errors = ["" if math.isnan(one[name]) else f"{float(one[name]):.2e}{star}" for name, star in zip(names, stars)]
        resolution, cost = (float(one[name]) for name in ("resolution", "gradient_equivalents"))
        rows.append((str(one["series"].item()), resolution, *errors, cost, _rounded(one["wall_time"])))
    headers = ("series", "step or rtol", *map(_symbol, names), "grad-eq", "time/s")
    return Table(
        headers, rows, "Errors in nat (of λ and γ: 1), and cost of the path without its start; *: at its floor."
    )


def _floors(comparison: xr.Dataset) -> Table:
    """Whose floor it is that errors are at."""
    rows = [(_symbol(name), float(count), reason) for name, reason, count in floor_reasons(comparison)]
    return Table(("error", "runs", "floor"), rows, "Runs with an error at its floor, and what sets it.")


def _symbol(quantity: str) -> str:
    """The head of a column of errors."""
    return _SYMBOLS.get(quantity, quantity.removeprefix("error_"))


def _provenance(sweep: Sweep, whole: dict[str, xr.Dataset]) -> Table:
    """The attributes that all runs share, and how many values each other attribute takes."""
    rows = [("program of the sweep", sweep.program)]
    for name, column in pd.DataFrame([provenance(run) for run in whole.values()]).items():
        values = column.dropna().unique()
        rows.append((str(name), values[0] if len(values) == 1 else f"{len(values)} different values"))
    return Table(("attribute", "value"), rows)

"""The report of a sweep."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from rdc_dyn.read.plots import plot_losses, plot_residuals, plot_surface3d, plot_trajectory, styles
from rdc_dyn.read.report.page import Section, Table, page
from rdc_dyn.read.report.run import explored, gradient_equivalents, provenance, residuals
from rdc_dyn.status import DataError, in_words
from rdc_dyn.store.sweep_directory import Sweep, value_list
from rdc_dyn.store.swept_keys import labels, text_of

#: The lines of more runs than this cannot be told apart.
MOST_DRAWN = 12


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
    headers = (*sweep.keys, "status", "points", "gradient-equivalents", "wall time (s)", "largest |∇J|",
               "largest closure of F", "run")  # fmt: skip
    rows: list[tuple[str | float, ...]] = [
        (*named[p.name], in_words(p.status), *_numbers(runs.get(p.name)), p.name) for p in sweep.points
    ]
    return Table(headers, rows, "Costs include the equilibration of the start.")


def _numbers(run: xr.Dataset | None) -> tuple[float, ...]:
    if run is None or not run.sizes["time"]:
        return (0.0 if run is not None else math.nan, *[math.nan] * 4)
    found = residuals(run)
    return (
        float(run.sizes["time"]),
        gradient_equivalents(run),
        float(run.wall_time[-1]),
        *(float(found[name][0].max()) for name in ("equilibrium |∇J|", "closure of F against the work")),
    )


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
    from rdc_dyn.read.plots.work_precision import plot_work_precision

    figure = (plot_work_precision(comparison), "Work–precision: error against cost.")
    return Section("Comparison", tables=[_orders(comparison), _errors(comparison)], figures=[figure])


def _orders(comparison: xr.Dataset) -> Table:
    """The observed order of each series, with its confidence interval."""
    found = zip(*(comparison[name].values for name in ("series_name", "order", "order_low", "order_high")))
    rows = [
        (str(name), *("" if math.isnan(p) else f"{p:.2f} [{low:.2f}, {high:.2f}]" for p, low, high in zip(*orders)))
        for name, *orders in found
    ]
    headers = ("series", *(str(name).removeprefix("error_") for name in comparison["quantity"].values))
    return Table(headers, rows, "Observed order [95 % confidence]; points at the floor are left out.")


def _errors(comparison: xr.Dataset) -> Table:
    """The errors and cost of each run."""
    names = [str(name) for name in comparison.data_vars if str(name).startswith("error_")]
    rows: list[tuple[str | float, ...]] = []
    for k in range(comparison.sizes["run"]):
        one = comparison.isel(run=k)
        stars = ["*" if one["at_floor"].sel(quantity=name) else "" for name in names]
        errors = ["" if math.isnan(one[name]) else f"{float(one[name]):.2e}{star}" for name, star in zip(names, stars)]
        resolution, *cost = (float(one[name]) for name in ("resolution", "gradient_equivalents", "wall_time"))
        rows.append((str(one["series"].item()), resolution, *errors, *cost))
    quantities = (name.removeprefix("error_") for name in names)
    headers = ("series", "resolution", *quantities, "gradient-equivalents", "wall time (s)")
    return Table(headers, rows, "Errors, and cost of the path without its start; * is at the solver's floor.")


def _provenance(sweep: Sweep, whole: dict[str, xr.Dataset]) -> Table:
    """The attributes that all runs share, and how many values each other attribute takes."""
    rows = [("program of the sweep", sweep.program)]
    for name, column in pd.DataFrame([provenance(run) for run in whole.values()]).items():
        values = column.dropna().unique()
        rows.append((str(name), values[0] if len(values) == 1 else f"{len(values)} different values"))
    return Table(("attribute", "value"), rows)

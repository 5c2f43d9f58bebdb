"""The report of a sweep."""

from __future__ import annotations

import math

import numpy as np
import xarray as xr

from rdc_dyn.output.plots import plot_losses, plot_residuals, plot_surface3d, plot_trajectory, styles
from rdc_dyn.output.report.numbers import gradient_equivalents, largest, last, provenance_rows, residuals
from rdc_dyn.output.report.page import Section, figure, page, paragraph, table, verbatim
from rdc_dyn.output.sweep_directory import Sweep, SweptRun, labels, text_of, value_list
from rdc_dyn.status import DataError

#: The lines of more runs than this cannot be told apart.
MOST_DRAWN = 12


def sweep_report(sweep: Sweep, comparison: xr.Dataset | None = None, no_comparison: str = "") -> str:
    """An HTML page on a sweep: runs, failures, figures, comparison and provenance; DataError if no run has a point.

    `comparison` is that of `rdc_dyn.compare`; where it is None, the page gives `no_comparison` as the reason.
    """
    runs = {p.name: p.packed.dataset() for p in sweep.points if p.packed is not None}
    whole = {name: run for name, run in runs.items() if run.sizes["time"]}
    if not whole:
        raise DataError(f"{sweep.path}: no run of the sweep has a point")
    states = [point.state for point in sweep.points]
    lead = paragraph(
        f"{len(states)} runs over {', '.join(sweep.keys)}: {states.count('done')} done, {states.count('failed')} "
        f"failed, {states.count('missing')} missing.",
        bad="done" in states and len(set(states)) > 1,
    )
    sections = [Section("Runs", _runs(sweep, runs)), Section("Failures", _failures(sweep))]
    sections.append(Section("Comparison", _comparison(comparison, no_comparison)))
    sections.append(Section("Figures", _figures(sweep, whole)))
    sections.append(Section("Provenance", _provenance(sweep, whole)))
    sections.append(Section("Scenario", verbatim(sweep.scenario)))
    return page(f"Sweep {sweep.path.resolve().name}", lead, sections)


def _named(sweep: Sweep) -> dict[str, dict[str, str]]:
    """The swept values of each run, in words."""
    words = {key: labels(value_list(sweep.points, key)) for key in sweep.keys}
    return {
        point.name: {key: words[key][text_of(point.values[key])] if key in point.values else "" for key in sweep.keys}
        for point in sweep.points
    }


def _runs(sweep: Sweep, runs: dict[str, xr.Dataset]) -> str:
    named = _named(sweep)
    headers = (*sweep.keys, "status", "points", "gradient-equivalents", "wall time (s)", "largest |∇J|",
               "largest closure of F", "run")  # fmt: skip
    rows: list[tuple[str | float, ...]] = [
        (*named[p.name].values(), p.status.lower().replace("_", " "), *_numbers(runs.get(p.name)), p.name)
        for p in sweep.points
    ]
    return table(headers, rows, "Costs include the equilibration of the start.")


def _numbers(run: xr.Dataset | None) -> tuple[float, float, float, float, float]:
    if run is None or not run.sizes["time"]:
        return (0.0 if run is not None else math.nan, math.nan, math.nan, math.nan, math.nan)
    found = residuals(run)
    return (
        float(run.sizes["time"]),
        gradient_equivalents(run),
        last(run, "wall_time"),
        largest(found["equilibrium |∇J|"][0]),
        largest(found["closure of F against the work"][0]),
    )


def _failures(sweep: Sweep) -> str:
    bad: list[SweptRun] = [point for point in sweep.points if point.state != "done"]
    if not bad:
        return paragraph("Every run came to the end of its span.")
    named = _named(sweep)
    rows = [(_title(named[p.name]), p.state, p.status.lower().replace("_", " "), p.message, p.name) for p in bad]
    return table(("run", "state", "status", "reason", "name"), rows)


def _title(values: dict[str, str]) -> str:
    return ", ".join(value for value in values.values() if value)


def _figures(sweep: Sweep, whole: dict[str, xr.Dataset]) -> str:
    named = _named(sweep)
    chosen = [list(whole)[k] for k in np.unique(np.linspace(0, len(whole) - 1, MOST_DRAWN).round().astype(int))]
    titles = {name: _title(named[name]) or name for name in whole}
    # Each run has the same look in all figures; where titles repeat, all runs go by name.
    look = styles([titles[name] for name in chosen])
    drawn = {titles[name]: whole[name] for name in chosen}
    if len(drawn) < len(chosen):
        drawn, look = {name: whole[name] for name in chosen}, styles(chosen)
    text = "All runs." if len(chosen) == len(whole) else f"{len(chosen)} of {len(whole)} runs, evenly chosen."
    return "\n".join(
        [
            figure(plot_trajectory(drawn, look=look), f"Path, multipliers, C and |∇J|. {text}"),
            figure(plot_losses(drawn, look=look), f"Rate, distortion and classification loss. {text}"),
            figure(plot_residuals(drawn, look=look), f"Residuals; zero is drawn at 1e-17. {text}"),
            figure(plot_surface3d(drawn, look=look), f"The paths in (R, D, C). {text}"),
        ]
    )


def _comparison(comparison: xr.Dataset | None, why: str) -> str:
    if comparison is None:
        return paragraph(f"There is no comparison: {why or 'none was asked for'}.")
    from rdc_dyn.output.plots.work_precision import plot_work_precision

    parts = [_orders(comparison), _errors(comparison)]
    parts.append(figure(plot_work_precision(comparison), "Work–precision: error against cost."))
    return "\n".join(part for part in parts if part)


def _orders(comparison: xr.Dataset) -> str:
    """A table of observed orders with their confidence intervals, or nothing without orders."""
    if "order" not in comparison:
        return ""
    quantities = [str(name) for name in comparison["quantity"].values]
    rows = []
    for name in comparison["series_name"].values:
        row = [str(name)]
        for quantity in quantities:
            at = {"series_name": name, "quantity": quantity}
            order, low, high = (float(comparison[v].sel(at)) for v in ("order", "order_low", "order_high"))
            row.append("" if math.isnan(order) else f"{order:.2f} [{low:.2f}, {high:.2f}]")
        rows.append(row)
    headers = ("series", *(name.removeprefix("error_") for name in quantities))
    return table(headers, rows, "Observed order [95 % confidence]; points at the floor are left out.")


def _errors(comparison: xr.Dataset) -> str:
    """A table of the errors and cost of each run; a star marks an error at the solver's floor."""
    names = [str(name) for name in comparison.data_vars if str(name).startswith("error_")]
    rows = []
    for k in range(comparison.sizes["run"]):
        one = comparison.isel(run=k)
        row: list[str | float] = [str(one["series"].item()), float(one["resolution"])]
        for name in names:
            value, star = float(one[name]), bool(one["at_floor"].sel(quantity=name))
            row.append("" if math.isnan(value) else f"{value:.2e}" + ("*" if star else ""))
        rows.append([*row, float(one["gradient_equivalents"]), float(one["wall_time"])])
    headers = (
        "series",
        "resolution",
        *(n.removeprefix("error_") for n in names),
        "gradient-equivalents",
        "wall time (s)",
    )
    return table(headers, rows, "Errors, and cost of the path without its start; * is at the solver's floor.")


def _provenance(sweep: Sweep, whole: dict[str, xr.Dataset]) -> str:
    """A table of the attributes that all runs share, and of how many values each other attribute takes."""
    found: dict[str, set[str]] = {}
    for run in whole.values():
        for name, value in provenance_rows(run.attrs):
            found.setdefault(name, set()).add(value)
    rows = [("program of the sweep", sweep.program)]
    rows += [(n, next(iter(v)) if len(v) == 1 else f"{len(v)} different values") for n, v in found.items()]
    return table(("attribute", "value"), rows)

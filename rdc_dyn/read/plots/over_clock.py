"""What is drawn over the process clock: losses, residuals of the identities, dissipation, ageing and accuracies."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rdc_dyn.read.identities import free_energy_closure, maxwell_residual
from rdc_dyn.read.plots.runs import (
    Look,
    Runs,
    Where,
    add_legend,
    as_drawn,
    axis_label,
    canvas,
    draw_branches,
    legend_entries,
    log_axis,
    positive,
)
from rdc_dyn.read.plots.style import LABELS, figure_of, label
from rdc_dyn.read.units import Units, in_units
from rdc_dyn.record import FUNCTIONALS

#: The least span of an axis, relative to the values that it shows.
_LEAST_SPAN = 1e-4


def plot_losses(runs: Runs, *, axes: Where = None, look: Look = None, units: Units = "nats") -> Figure:
    """Plot R(s), D(s) and C(s), each in its own panel."""
    drawn = as_drawn(runs, look, units)
    figure, three = canvas(axes, (1, 3), (11.0 if len(drawn) == 1 else 13.0, 3.6))
    for panel, name in zip(three, FUNCTIONALS):
        for one in drawn:
            draw_branches(panel, one.trajectory, one.trajectory.time.values, one.trajectory[name].values, one.style)
        panel.set(xlabel=LABELS["time"], ylabel=axis_label(name, drawn))
        widen(panel)
    add_legend(three[0] if figure is None else figure, legend_entries(drawn))
    return figure_of(three[0])


def widen(panel: Axes) -> None:
    """Widen the y axis where the data are constant to rounding, so that rounding does not fill it."""
    low, high = panel.dataLim.y0, panel.dataLim.y1
    least = _LEAST_SPAN * max(abs(low), abs(high))
    if np.isfinite(least) and high - low < least:
        panel.set_ylim(0.5 * (low + high) - least, 0.5 * (low + high) + least)


def residuals_of(trajectory: xr.Dataset, units: Units) -> dict[str, xr.DataArray]:
    """Magnitudes along `time` of four residuals, by their names in `LABELS`; all NaN for one that a run lacks."""
    nats = in_units(trajectory, "nats")
    found = {
        "equilibrium_residual": nats.equilibrium_residual,
        "constraint_residual": nats.constraint_residual,
        "maxwell_residual": maxwell_residual(nats),
        "free_energy_closure": free_energy_closure(nats),
    }
    plain = {name: each.reset_coords(drop=True) for name, each in found.items()}
    sizes = in_units(xr.Dataset({name: each.copy(data=np.abs(each.values)) for name, each in plain.items()}), units)
    return {name: sizes[name] for name in found}


def plot_residuals(runs: Runs, *, axes: Where = None, look: Look = None, units: Units = "nats") -> Figure:
    """Plot ‖∇J‖, |h − h₀| of what is held, Maxwell's relation and the closure of F over the clock, in four panels.

    A residual of exactly zero is drawn at 1e-17. A panel stays empty, and says so, where no run has its residual.
    """
    drawn = as_drawn(runs, look, units)
    figure, four = canvas(axes, (2, 2), (9.6 if len(drawn) == 1 else 11.4, 6.4))
    found = [residuals_of(one.trajectory, units) for one in drawn]
    for panel, name in zip(four, found[0]):
        for one, residuals in zip(drawn, found):
            values = residuals[name].values
            if np.isfinite(values).any():
                draw_branches(panel, one.trajectory, one.trajectory.time.values, positive(values), one.style)
        panel.set(xlabel=LABELS["time"], ylabel=label(name, found[0][name]))
        if panel.lines:
            log_axis(panel)
        else:
            panel.text(0.5, 0.5, "none", transform=panel.transAxes, ha="center", va="center", color="0.5")
    add_legend(four[0] if figure is None else figure, legend_entries(drawn))
    return figure_of(four[0])


#: Line styles of the accuracies: of one sampled code, the companion of C, and of the mean of codes.
_ACCURACIES = {"code_accuracy": "-", "accuracy": "--", "validation_code_accuracy": "-.", "validation_accuracy": ":"}


def plot_dissipation(runs: Runs, *, axes: Where = None, look: Look = None, units: Units = "nats") -> Figure:
    """Plot the dissipation with its error, the J lost in the last epoch of each point, and the accuracies."""
    drawn = as_drawn(runs, look, units)
    figure, (lost, ageing, accuracy) = canvas(axes, (1, 3), (12.6, 3.9))
    for one in drawn:
        ds, times = one.trajectory, one.trajectory.time.values
        if "dissipation" in ds:
            value, error = ds.dissipation.values, ds.dissipation_error.values
            draw_branches(lost, ds, times, value, one.style)
            lost.fill_between(times, value - error, value + error, color=one.style.color, alpha=0.2, linewidth=0)
        if "ageing" in ds:
            draw_branches(ageing, ds, times, ds.ageing.values, one.style)
        for name, dashes in _ACCURACIES.items():
            if name in ds and np.isfinite(ds[name].values).any():
                accuracy.plot(times, ds[name].values, dashes, color=one.style.color, linewidth=1.2)
    for panel, name in ((lost, "dissipation"), (ageing, "ageing"), (accuracy, "accuracy")):
        panel.set(xlabel=LABELS["time"], ylabel=axis_label(name, drawn))
        if not panel.lines:
            panel.text(0.5, 0.5, "none", transform=panel.transAxes, ha="center", va="center", color="0.5")
    for name, dashes in _ACCURACIES.items():
        if any(name in one.trajectory for one in drawn):
            accuracy.plot([], [], dashes, color="0.3", label=name.replace("_", " "))
    accuracy.legend(fontsize=8, frameon=False)
    add_legend(lost if figure is None else figure, legend_entries(drawn))
    return figure_of(lost)

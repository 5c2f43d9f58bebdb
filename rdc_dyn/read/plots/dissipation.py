"""What a path loses by dissipation and ageing, and the accuracies along it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rdc_dyn.read.plots.runs import (
    Runs,
    add_legend,
    as_drawn,
    axis_label,
    canvas,
    draw_branches,
    legend_entries,
)  # fmt: skip
from rdc_dyn.read.plots.style import LABELS, Style, figure_of
from rdc_dyn.read.units import Units

#: Line styles of the accuracies: of one sampled code, the companion of C, and of the mean of codes.
_ACCURACIES = {"code_accuracy": "-", "accuracy": "--", "validation_code_accuracy": "-.", "validation_accuracy": ":"}


def plot_dissipation(
    runs: Runs,
    *,
    axes: Axes | Sequence[Axes] | None = None,
    look: Mapping[str, Style] | None = None,
    units: Units = "nats",
) -> Figure:
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

"""Rate, distortion and classification loss over the process clock."""

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
from rdc_dyn.record import FUNCTIONALS

#: The least span of an axis, relative to the values that it shows.
_LEAST_SPAN = 1e-4


def plot_losses(
    runs: Runs,
    *,
    axes: Axes | Sequence[Axes] | None = None,
    look: Mapping[str, Style] | None = None,
    units: Units = "nats",
) -> Figure:
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

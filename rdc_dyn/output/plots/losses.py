"""Rate, distortion and classification loss over the process clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rdc_dyn.output.plots.runs import Runs, add_legend, as_drawn, canvas, draw_branches, legend_entries
from rdc_dyn.output.plots.style import LABELS, Style, figure_of
from rdc_dyn.output.record import FUNCTIONALS

#: An axis is not stretched until rounding fills it: it spans at least this share of what it shows.
_LEAST_SPAN = 1e-4


def plot_losses(
    runs: Runs, *, axes: Axes | Sequence[Axes] | None = None, look: Mapping[str, Style] | None = None
) -> Figure:
    """R(s), D(s) and C(s), each in a panel of its own.

    Args:
        runs: A trajectory, or several by name.
        axes: Three axes to draw in; None: a new figure.
        look: Styles by name; None: those of the names given.

    Returns:
        The figure that was drawn in.
    """
    drawn = as_drawn(runs, look)
    figure, three = canvas(axes, (1, 3), (11.0 if len(drawn) == 1 else 13.0, 3.6))
    for panel, name in zip(three, FUNCTIONALS):
        for one in drawn:
            draw_branches(panel, one.trajectory, one.trajectory.time.values, one.trajectory[name].values, one.style)
        panel.set(xlabel=LABELS["time"], ylabel=LABELS[name])
        widen(panel)
    add_legend(three[0] if figure is None else figure, legend_entries(drawn))
    return figure_of(three[0])


def widen(panel: Axes) -> None:
    """Keep what is constant to rounding from filling its axis.

    Args:
        panel: Axes with their data.
    """
    low, high = panel.dataLim.y0, panel.dataLim.y1
    least = _LEAST_SPAN * max(abs(low), abs(high))
    if np.isfinite(least) and high - low < least:
        panel.set_ylim(0.5 * (low + high) - least, 0.5 * (low + high) + least)

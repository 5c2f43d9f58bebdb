"""The path in the rate–distortion plane, and that of the multipliers."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rdc_dyn.read.plots.runs import (
    Drawn,
    Look,
    Runs,
    Where,
    add_legend,
    as_drawn,
    axis_label,
    canvas,
    draw_branches,
    legend_entries,
    mark_direction,
    mark_start,
)
from rdc_dyn.read.plots.style import LABELS, figure_of
from rdc_dyn.read.units import Units


def plot_path(runs: Runs, *, axes: Where = None, look: Look = None, units: Units = "nats") -> Figure:
    """Plot (R, D) along the process, with a ring at the start and an arrow in its direction.

    At constant C, data and weight penalty, dR = −λ dD. A single run is coloured by λ; several have a colour each.
    """
    drawn = as_drawn(runs, look, units)
    figure, (panel,) = canvas(axes, (1, 1), (6.2, 4.4) if len(drawn) == 1 else (7.4, 4.6))
    for one in drawn:
        x, y = one.trajectory.rate.values, one.trajectory.distortion.values
        draw_branches(panel, one.trajectory, x, y, one.style)
        mark_direction(panel, x, y, one.style.color)
        mark_start(panel, x[0], y[0])
    if len(drawn) == 1:
        _colour(panel, drawn[0])
    panel.set(xlabel=axis_label("rate", drawn), ylabel=axis_label("distortion", drawn))
    entries = legend_entries(drawn, start=True)
    add_legend(figure if figure is not None and len(drawn) > 1 else panel, entries)
    return figure_of(panel)


def _colour(panel: Axes, one: Drawn) -> None:
    """Colour the points by λ and add a colour bar."""
    for line in panel.lines:
        if line.get_marker() == one.style.marker and line.get_linestyle() == one.style.linestyle:
            line.set(color="0.6", marker="None", linewidth=1.0)
    trajectory = one.trajectory
    points = panel.scatter(trajectory.rate, trajectory.distortion, c=trajectory.lam, cmap="viridis", s=20, zorder=3)
    bar = figure_of(panel).colorbar(points, ax=panel, label=LABELS["lam"])
    bar.ax.ticklabel_format(useOffset=False)
    bar.ax.tick_params(labelsize=9)


def plot_multipliers(runs: Runs, *, axes: Where = None, look: Look = None, units: Units = "nats") -> Figure:
    """Plot (λ, γ) along the process, with a ring at the start and an arrow in its direction.

    They are ratios of losses, the same in nats and bits.
    """
    drawn = as_drawn(runs, look, units)
    figure, (panel,) = canvas(axes, (1, 1), (5.6, 4.4) if len(drawn) == 1 else (7.4, 4.6))
    for one in drawn:
        x, y = one.trajectory.lam.values, one.trajectory.gamma.values
        draw_branches(panel, one.trajectory, x, y, one.style)
        mark_direction(panel, x, y, one.style.color)
        mark_start(panel, x[0], y[0])
    panel.set(xlabel=LABELS["lam"], ylabel=LABELS["gamma"])
    add_legend(figure if figure is not None and len(drawn) > 1 else panel, legend_entries(drawn, start=True))
    return figure_of(panel)

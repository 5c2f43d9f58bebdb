"""The path of the multipliers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rdc_dyn.read.plots.runs import (
    Runs,
    add_legend,
    as_drawn,
    canvas,
    draw_branches,
    legend_entries,
    mark_direction,
    mark_start,
)  # fmt: skip
from rdc_dyn.read.plots.style import LABELS, Style, figure_of
from rdc_dyn.read.units import Units


def plot_multipliers(
    runs: Runs,
    *,
    axes: Axes | Sequence[Axes] | None = None,
    look: Mapping[str, Style] | None = None,
    units: Units = "nats",
) -> Figure:
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

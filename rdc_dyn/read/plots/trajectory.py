"""The four-panel figure of a trajectory: path, multipliers, losses and residuals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rdc_dyn.read.plots.over_clock import residuals_of, widen
from rdc_dyn.read.plots.path import plot_multipliers, plot_path
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
    log_axis,
    positive,
)
from rdc_dyn.read.plots.style import BLUE, GREEN, LABELS, ORANGE, RED, Style, figure_of, with_unit
from rdc_dyn.read.units import Units

_CHANGES = {
    "rate": ("R", Style(BLUE, "o", "-")),
    "distortion": ("D", Style(RED, "s", "--")),
    "classification_loss": ("C", Style(GREEN, "^", "-.")),
}
_RESIDUALS = {
    "equilibrium_residual": (r"$\|\nabla_\theta J\|$", Style(BLUE, "o", "-")),
    "constraint_residual": (r"$|h - h_0|$, $h$ held", Style(RED, "s", "--")),
    "maxwell_residual": (r"$D_\gamma - C_\lambda$, relative", Style(GREEN, "^", "-.")),
    "free_energy_closure": (r"closure of $F$", Style(ORANGE, "D", ":")),
}


def plot_trajectory(runs: Runs, *, axes: Where = None, look: Look = None, units: Units = "nats") -> Figure:
    """Plot the path in (R, D), the path in (λ, γ), the losses and the residuals, in four panels.

    The lower two show the changes of the losses since the start and all residuals of one run, or C and ‖∇J‖ of several.
    """
    drawn = as_drawn(runs, look, units)
    figure, four = canvas(axes, (2, 2), (10.4, 7.8) if len(drawn) == 1 else (12.4, 7.8))
    if figure is not None:
        figure.suptitle(_title(drawn), fontsize=12)
    path, multipliers, losses, residuals = four
    styles = {one.name: one.style for one in drawn}
    shown = {one.name: one.trajectory for one in drawn}
    plot_path(shown, axes=path, look=styles, units=units)
    plot_multipliers(shown, axes=multipliers, look=styles, units=units)
    if len(drawn) == 1:
        _changes(losses, drawn[0])
        _all_residuals(residuals, drawn[0], units)
    else:
        _one_each(losses, drawn, "classification_loss")
        _one_each(residuals, drawn, "equilibrium_residual")
        for panel in (path, multipliers):
            legend = panel.get_legend()
            if legend is not None:
                legend.remove()
        add_legend(path if figure is None else figure, legend_entries(drawn, start=True))
    titles = ("Path in the rate–distortion plane", "Lagrange multipliers", None, None)
    for panel, title in zip(four, titles):
        if title is not None:
            panel.set_title(title, fontsize=11)
    return figure_of(path)


def _title(drawn: Sequence[Drawn]) -> str:
    if len(drawn) > 1:
        return f"{len(drawn)} runs"
    attributes = drawn[0].trajectory.attrs
    status = str(attributes.get("status", "")).lower().replace("_", " ")
    return f"{attributes.get('title', drawn[0].name)}   [{status}]"


def _above(panel: Axes) -> None:
    """Put the legend above the axes, where no line runs."""
    panel.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False, fontsize=8)


def _changes(panel: Axes, one: Drawn) -> None:
    """Plot changes since the start, so that three losses of different size share an axis."""
    for name, (symbol, style) in _CHANGES.items():
        values = one.trajectory[name].values
        text = f"${symbol} - {symbol}_0$, ${symbol}_0 = ${values[0]:.4g}"
        draw_branches(panel, one.trajectory, one.trajectory.time.values, values - values[0], style, text)
    panel.axhline(0, color="0.7", linewidth=0.8, zorder=0)
    panel.set(xlabel=LABELS["time"], ylabel=with_unit("change since the start", one.trajectory.rate.attrs))
    _above(panel)


def _all_residuals(panel: Axes, one: Drawn, units: Units) -> None:
    for name, found in residuals_of(one.trajectory, units).items():
        if np.isfinite(found.values).any():
            text, style = _RESIDUALS[name]
            shown, times = positive(found.values), one.trajectory.time.values
            draw_branches(panel, one.trajectory, times, shown, style, with_unit(text, found.attrs))
    panel.set(xlabel=LABELS["time"], ylabel="residual")
    if panel.lines:
        log_axis(panel)
        _above(panel)


def _one_each(panel: Axes, drawn: Sequence[Drawn], name: str) -> None:
    """Plot one variable of several runs."""
    for one in drawn:
        values = one.trajectory[name].values
        shown = positive(values) if name.endswith("residual") else values
        if np.isfinite(shown).any():
            draw_branches(panel, one.trajectory, one.trajectory.time.values, shown, one.style)
    panel.set(xlabel=LABELS["time"], ylabel=axis_label(name, drawn))
    if name.endswith("residual") and panel.lines:
        log_axis(panel)
    else:
        widen(panel)

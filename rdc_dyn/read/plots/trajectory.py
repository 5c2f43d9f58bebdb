"""Figures of trajectories: path, multipliers, losses, residuals, dissipation, and the four of them that tell most."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rdc_dyn.read.identities import free_energy_closure, maxwell_residual
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
    mark_direction,
    mark_start,
    positive,
    title_of,
)
from rdc_dyn.read.plots.style import LABELS, LOOKS, Style, figure_of, label, with_unit
from rdc_dyn.read.units import Units, in_units
from rdc_dyn.record import FUNCTIONALS


def plot_path(runs: Runs, *, axes: Where = None, look: Look = None, units: Units = "nats") -> Figure:
    """Plot (R, D) along the process, with a ring at the start and an arrow in its direction.

    At constant C, data and weight penalty, dR = −λ dD. A single run is coloured by λ; several have a colour each.
    """
    drawn = as_drawn(runs, look, units)
    panel = _way(drawn, "rate", "distortion", axes, 6.2)
    if len(drawn) == 1:
        _colour(panel, drawn[0])
    return figure_of(panel)


def plot_multipliers(runs: Runs, *, axes: Where = None, look: Look = None, units: Units = "nats") -> Figure:
    """Plot (λ, γ) along the process, with a ring at the start and an arrow in its direction.

    They are ratios of losses, the same in nats and bits.
    """
    return figure_of(_way(as_drawn(runs, look, units), "lam", "gamma", axes, 5.6))


def _way(drawn: Sequence[Drawn], across: str, up: str, axes: Where, width: float) -> Axes:
    """Draw the runs in the plane of two variables; the width is that of a figure of one run."""
    figure, (panel,) = canvas(axes, (1, 1), (width, 4.4) if len(drawn) == 1 else (7.4, 4.6))
    for one in drawn:
        x, y = one.trajectory[across].values, one.trajectory[up].values
        draw_branches(panel, one.trajectory, x, y, one.style)
        mark_direction(panel, x, y, one.style.color)
        mark_start(panel, x[0], y[0])
    panel.set(xlabel=axis_label(across, drawn), ylabel=axis_label(up, drawn))
    add_legend(figure if figure is not None and len(drawn) > 1 else panel, legend_entries(drawn, start=True))
    return panel


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


def _over_clock(panel: Axes, one: Drawn, values: np.ndarray, style: Style | None = None, text: str = "") -> None:
    """Draw values of a run over the clock, if there are any."""
    if np.isfinite(values).any():
        draw_branches(panel, one.trajectory, one.trajectory.time.values, values, style or one.style, text or None)


def _label(panel: Axes, text: str, *, logarithmic: bool = False) -> None:
    """Label what is drawn over the clock, or say that nothing is."""
    panel.set(xlabel=LABELS["time"], ylabel=text)
    if not panel.lines:
        panel.text(0.5, 0.5, "none", transform=panel.transAxes, ha="center", va="center", color="0.5")
    elif logarithmic:
        log_axis(panel)


#: The least span of an axis, relative to the values that it shows.
_LEAST_SPAN = 1e-4


def plot_losses(runs: Runs, *, axes: Where = None, look: Look = None, units: Units = "nats") -> Figure:
    """Plot R(s), D(s) and C(s), each in its own panel."""
    drawn = as_drawn(runs, look, units)
    figure, three = canvas(axes, (1, 3), (11.0 if len(drawn) == 1 else 13.0, 3.6))
    for panel, name in zip(three, FUNCTIONALS):
        for one in drawn:
            _over_clock(panel, one, one.trajectory[name].values)
        _label(panel, axis_label(name, drawn))
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
            _over_clock(panel, one, positive(residuals[name].values))
        _label(panel, label(name, found[0][name]), logarithmic=True)
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
            _over_clock(lost, one, value)
            lost.fill_between(times, value - error, value + error, color=one.style.color, alpha=0.2, linewidth=0)
        if "ageing" in ds:
            _over_clock(ageing, one, ds.ageing.values)
        for name, dashes in _ACCURACIES.items():
            if name in ds and np.isfinite(ds[name].values).any():
                accuracy.plot(times, ds[name].values, dashes, color=one.style.color, linewidth=1.2)
    for panel, name in ((lost, "dissipation"), (ageing, "ageing"), (accuracy, "accuracy")):
        _label(panel, axis_label(name, drawn))
    for name, dashes in _ACCURACIES.items():
        if any(name in one.trajectory for one in drawn):
            accuracy.plot([], [], dashes, color="0.3", label=name.replace("_", " "))
    accuracy.legend(fontsize=8, frameon=False)
    add_legend(lost if figure is None else figure, legend_entries(drawn))
    return figure_of(lost)


#: What the legend of all residuals calls each.
_RESIDUALS = {
    "equilibrium_residual": r"$\|\nabla_\theta J\|$",
    "constraint_residual": r"$|h - h_0|$, $h$ held",
    "maxwell_residual": r"$D_\gamma - C_\lambda$, relative",
    "free_energy_closure": r"closure of $F$",
}


def plot_trajectory(runs: Runs, *, axes: Where = None, look: Look = None, units: Units = "nats") -> Figure:
    """Plot the path in (R, D), the path in (λ, γ), the losses and the residuals, in four panels.

    The lower two show the changes of the losses since the start and all residuals of one run, or C and ‖∇J‖ of several.
    """
    drawn = as_drawn(runs, look, units)
    figure, four = canvas(axes, (2, 2), (10.4, 7.8) if len(drawn) == 1 else (12.4, 7.8))
    if figure is not None:
        figure.suptitle(title_of(drawn), fontsize=12)
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
    path.set_title("Path in the rate–distortion plane", fontsize=11)
    multipliers.set_title("Lagrange multipliers", fontsize=11)
    return figure_of(path)


def _above(panel: Axes) -> None:
    """Put the legend above the axes, where no line runs."""
    panel.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False, fontsize=8)


def _changes(panel: Axes, one: Drawn) -> None:
    """Plot changes since the start, so that three losses of different size share an axis."""
    for name, symbol, style in zip(FUNCTIONALS, "RDC", LOOKS):
        values = one.trajectory[name].values
        _over_clock(panel, one, values - values[0], style, f"${symbol} - {symbol}_0$, ${symbol}_0 = ${values[0]:.4g}")
    panel.axhline(0, color="0.7", linewidth=0.8, zorder=0)
    _label(panel, with_unit("change since the start", one.trajectory.rate.attrs))
    _above(panel)


def _all_residuals(panel: Axes, one: Drawn, units: Units) -> None:
    for (name, found), style in zip(residuals_of(one.trajectory, units).items(), LOOKS):
        _over_clock(panel, one, positive(found.values), style, with_unit(_RESIDUALS[name], found.attrs))
    _label(panel, "residual", logarithmic=True)
    if panel.lines:
        _above(panel)


def _one_each(panel: Axes, drawn: Sequence[Drawn], name: str) -> None:
    """Plot one variable of several runs."""
    residual = name.endswith("residual")
    for one in drawn:
        values = one.trajectory[name].values
        _over_clock(panel, one, positive(values) if residual else values)
    _label(panel, axis_label(name, drawn), logarithmic=residual)
    if not residual:
        widen(panel)

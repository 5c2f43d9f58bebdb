"""F, R, D and C over a grid of (λ, γ)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from rdc_dyn.read.plots.runs import canvas
from rdc_dyn.read.plots.style import LABELS, figure_of, label
from rdc_dyn.read.units import Units, in_units
from rdc_dyn.status import UserError

#: Contour lines in a panel, about.
_LINES = 12


def plot_surface(
    grid: xr.Dataset, *, axes: Axes | Sequence[Axes] | np.ndarray | None = None, units: Units = "nats"
) -> Figure:
    """Plot F, R, D and C as contours over (λ, γ), the nodes as dots; rings mark nodes above concavity by 0.1 %.

    Args:
        grid: A surface, as `rdc_dyn.surface` returns it.
        axes: Four axes to draw into; None makes a figure.
        units: nats or bits, of all four.

    Returns:
        The figure.

    Raises:
        UserError: If the grid has not two values of each multiplier, the axes are not four, or the units are
            unknown.
    """
    grid = in_units(grid, units)
    if set(grid.free_energy.dims) != {"lam", "gamma"} or min(grid.free_energy.shape) < 2:
        raise UserError("plot_surface: expected a surface with at least two values of lam and of gamma")
    figure, panels = canvas(axes, (2, 2), (10.0, 8.0))
    above = _above(grid)
    for panel, name in zip(panels, ("free_energy", "rate", "distortion", "classification_loss")):
        values = grid[name].transpose("gamma", "lam").values
        filled = panel.contourf(grid.lam, grid.gamma, values, levels=_LINES, cmap="viridis")
        panel.contour(grid.lam, grid.gamma, values, levels=_LINES, colors="0.15", linewidths=0.4)
        lam, gamma = np.meshgrid(grid.lam, grid.gamma)
        panel.plot(lam.ravel(), gamma.ravel(), ".", color="0.1", markersize=2.5, clip_on=False)
        panel.plot(lam[above], gamma[above], "o", markersize=8, markerfacecolor="none", markeredgecolor="white")
        for axis, coordinate in ((panel.xaxis, grid.lam), (panel.yaxis, grid.gamma)):
            if logarithmic(coordinate.values):
                (panel.set_xscale if axis is panel.xaxis else panel.set_yscale)("log")
                axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
                axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
                axis.set_minor_formatter(NullFormatter())
        panel.grid(False)
        panel.set_xlabel(LABELS["lam"])
        panel.set_ylabel(LABELS["gamma"])
        figure_of(panel).colorbar(filled, ax=panel, label=label(name, grid[name]))
    return figure_of(panels[0]) if figure is None else figure


def _above(grid: xr.Dataset) -> np.ndarray:
    """Where F exceeds what concavity allows by more than a thousandth of its range, as a mask of shape (γ, λ)."""
    from rdc_dyn.read.surface import concavity_gap

    gap = concavity_gap(grid).transpose("gamma", "lam").values
    return np.asarray(gap > 1e-3 * float(grid.free_energy.max() - grid.free_energy.min()))


def logarithmic(values: np.ndarray) -> bool:
    """Whether the steps are more even in the logarithm."""
    if len(values) < 3 or values.min() <= 0:
        return False
    steps, factors = np.diff(values), np.diff(np.log(values))
    return bool(factors.std() / factors.mean() < steps.std() / steps.mean() - 1e-6)

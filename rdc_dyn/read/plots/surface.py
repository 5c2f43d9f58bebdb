"""F, R, D and C over a grid of (λ, γ), and the equilibrium surface in three dimensions."""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from mpl_toolkits.mplot3d import Axes3D

from rdc_dyn.read.identities.branches import branch_slices, jumped
from rdc_dyn.read.plots.runs import Drawn, Runs, add_legend, as_drawn, axis_label, canvas, legend_entries
from rdc_dyn.read.plots.style import BLACK, LABELS, ShownFigure, Style, figure_of, label, plain_ticks
from rdc_dyn.read.units import Units, in_units
from rdc_dyn.record import FUNCTIONALS
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
    grid = as_surface(grid, units)
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


def as_surface(grid: xr.Dataset, units: Units) -> xr.Dataset:
    """A surface in nats or bits; UserError if it has not two values of each multiplier."""
    if set(grid.free_energy.dims) != {"lam", "gamma"} or min(grid.free_energy.shape) < 2:
        raise UserError("plot_surface: expected a surface with at least two values of lam and of gamma")
    return in_units(grid, units)


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


def plot_surface3d(
    runs: Runs, *, axes: Axes3D | None = None, look: Mapping[str, Style] | None = None, units: Units = "nats"
) -> Figure:
    """Plot the path of each run in (R, D, C), or the surface itself where a sweep is a grid of equilibria.

    A dataset whose losses have two dimensions, such as two swept keys at one time, or one swept key along `time`, is
    drawn as a surface coloured by F; of three dimensions with `time`, the first time is taken.
    """
    panel = _axes3d() if axes is None else axes
    figure = figure_of(panel)
    if isinstance(runs, xr.Dataset) and runs.rate.ndim > 1:
        grid = in_units(runs, units)
        x, y, z, f = _grid(grid, (*FUNCTIONALS, "free_energy"))
        _draw_surface(panel, x, y, z, f, label("free_energy", grid.free_energy))
        _label(panel, [label(name, grid[name]) for name in FUNCTIONALS])
    else:
        drawn = as_drawn(runs, look, units)
        for one in drawn:
            _draw_path(panel, one)
        add_legend(figure if axes is None and len(drawn) > 1 else panel, legend_entries(drawn, start=True))
        _label(panel, [axis_label(name, drawn) for name in FUNCTIONALS])
    return figure


def plot_free_energy_surface(grid: xr.Dataset, *, axes: Axes3D | None = None, units: Units = "nats") -> Figure:
    """Plot F(λ, γ), concave with gradient (D, C), over a grid of equilibria; the colour is C."""
    panel = _axes3d() if axes is None else axes
    grid = in_units(grid, units)
    x, y, z, c = _grid(grid, ("lam", "gamma", "free_energy", "classification_loss"))
    _draw_surface(panel, x, y, z, c, label("classification_loss", grid.classification_loss))
    _label(panel, [label(name, grid[name]) for name in ("lam", "gamma", "free_energy")])
    return figure_of(panel)


def _axes3d() -> Axes3D:
    # Constrained layout does not know how far the labels of three-dimensional axes reach, so leave room by hand.
    figure = ShownFigure(figsize=(7.6, 6.0))
    FigureCanvasAgg(figure)
    return figure.add_axes((0.02, 0.06, 0.72, 0.9), projection="3d", computed_zorder=False)


def _label(panel: Axes3D, labels: Sequence[str]) -> None:
    for axis, text, pad in zip((panel.xaxis, panel.yaxis, panel.zaxis), labels, (8, 8, 14)):
        axis.set_label_text(text)
        axis.labelpad = pad + 8 * text.count("\n")
    panel.tick_params(labelsize=8)
    for axis in (panel.xaxis, panel.yaxis, panel.zaxis):
        axis.set_major_locator(MaxNLocator(5))  # more would run into each other in perspective
    panel.zaxis.set_tick_params(pad=7)
    panel.set_box_aspect(None, zoom=0.86)
    plain_ticks(panel)


def _draw_path(panel: Axes3D, one: Drawn) -> None:
    points = np.stack([one.trajectory[name].values for name in FUNCTIONALS])
    for k, branch in enumerate(branch_slices(np.asarray(jumped(one.trajectory).values))):
        panel.plot(
            *points[:, branch], color=one.style.color, linestyle=one.style.linestyle, marker=one.style.marker,
            markersize=3, linewidth=1.4,
        )  # fmt: skip
        if k:
            leap = points[:, branch.start - 1 : branch.start + 1]
            panel.plot(*leap, color=one.style.color, linestyle=":", linewidth=0.9)
            panel.plot(*leap[:, 1:], marker="d", markersize=8, markerfacecolor="none", markeredgecolor=BLACK)
    panel.plot(*points[:, :1], marker="o", markersize=9, markerfacecolor="none", markeredgecolor=BLACK, zorder=5)
    spans = np.ptp(points, axis=1)
    for setter, span, values in zip((panel.set_xlim, panel.set_ylim, panel.set_zlim), spans, points):
        least = 1e-4 * np.abs(values).max()
        if np.isfinite(least) and 0 <= span < least:
            setter(values.mean() - least, values.mean() + least)


def _grid(grid: xr.Dataset, names: Sequence[str]) -> list[np.ndarray]:
    """The named variables as matrices over a grid; UserError unless it has two dimensions of at least two points."""
    if grid[names[-1]].ndim == 3 and "time" in grid.dims:
        grid = grid.isel(time=0)
    dims = grid[names[-1]].dims
    if len(dims) != 2 or min(grid[names[-1]].shape) < 2:
        shape = ", ".join(f"{name}: {size}" for name, size in grid[names[-1]].sizes.items())
        raise UserError(f"surface: expected a grid of equilibria over two dimensions; got ({shape})")
    like = grid[names[-1]]
    return [np.asarray(grid[name].broadcast_like(like).transpose(*dims).values, dtype=float) for name in names]


def _draw_surface(panel: Axes3D, x: np.ndarray, y: np.ndarray, z: np.ndarray, c: np.ndarray, text: str) -> None:
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    norm = Normalize(float(np.nanmin(c)), float(np.nanmax(c)))
    colors = colormaps["viridis"](norm(c))
    panel.plot_surface(x, y, z, facecolors=colors, rstride=1, cstride=1, edgecolor="0.3", linewidth=0.3, shade=False)
    figure = figure_of(panel)
    bar = figure.colorbar(ScalarMappable(norm, "viridis"), cax=figure.add_axes((0.84, 0.24, 0.022, 0.5)), label=text)
    bar.ax.tick_params(labelsize=8)

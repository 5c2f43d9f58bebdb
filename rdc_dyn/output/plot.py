"""The figure of a run: the path in (R, D, C), the multipliers, the losses, the residuals."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

# Okabe & Ito's colours, told apart by colour-blind readers.
BLACK, ORANGE, BLUE, GREEN, RED = "#000000", "#E69F00", "#0072B2", "#009E73", "#D55E00"


def plot_trajectory(trajectory: xr.Dataset) -> Figure:
    """Four panels of one trajectory.

    Args:
        trajectory: A trajectory of at least one point.

    Returns:
        The figure, drawn without a display.
    """
    figure = Figure(figsize=(10, 7.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 2)
    _path(figure, axes[0, 0], trajectory)
    _multipliers(axes[0, 1], trajectory)
    _losses(axes[1, 0], trajectory)
    _residuals(axes[1, 1], trajectory)
    status = trajectory.attrs.get("status", "")
    figure.suptitle(f"{trajectory.attrs.get('title', '')}   [{status.lower().replace('_', ' ')}]", fontsize=12)
    return figure


def _path(figure: Figure, axes: Axes, trajectory: xr.Dataset) -> None:
    """(R, D) coloured by γ: slope −λ, at constant C."""
    axes.plot(trajectory.rate, trajectory.distortion, color="0.6", lw=1, zorder=1)
    points = axes.scatter(trajectory.rate, trajectory.distortion, c=trajectory.lam, cmap="viridis", s=22, zorder=2)
    axes.plot(trajectory.rate[0], trajectory.distortion[0], "o", mfc="none", mec=RED, ms=10, label="start")
    figure.colorbar(points, ax=axes, label=r"multiplier $\lambda$")
    axes.set(xlabel=r"rate $R$ (nat)", ylabel=r"distortion $D$ (nat)", title="Path in the rate–distortion plane")
    axes.legend(frameon=False)


def _multipliers(axes: Axes, trajectory: xr.Dataset) -> None:
    axes.plot(trajectory.lam, trajectory.gamma, "-", marker=".", color=BLUE)
    axes.plot(trajectory.lam[0], trajectory.gamma[0], "o", mfc="none", mec=RED, ms=10, label="start")
    axes.set(xlabel=r"$\lambda$", ylabel=r"$\gamma$", title="Lagrange multipliers")
    axes.legend(frameon=False)


def _losses(axes: Axes, trajectory: xr.Dataset) -> None:
    """Change since the start, so that three losses of different size share an axis."""
    lines = (("rate", "R", BLUE), ("distortion", "D", ORANGE), ("classification_loss", "C", GREEN))
    for name, symbol, colour in lines:
        value = trajectory[name]
        start = float(value[0])
        axes.plot(trajectory.time, value - start, marker=".", color=colour, label=f"${symbol}$, start {start:.4g}")
    axes.axhline(0, color="0.8", lw=0.8, zorder=0)
    axes.set(
        xlabel="process time", ylabel="change since the start (nat)", title="Rate, distortion, classification loss"
    )
    axes.legend(frameon=False)


def _residuals(axes: Axes, trajectory: xr.Dataset) -> None:
    floor = 1e-17  # a residual of exactly zero is drawn at the foot of the axis
    lines = [
        (r"$\|\nabla_\theta J\|$", trajectory.equilibrium_residual.values, BLUE),
        ("held functional", np.abs(trajectory.constraint_residual.values), ORANGE),
        ("linear solves", trajectory.krylov_residual.values, GREEN),
        ("free-energy closure", np.abs(trajectory.rdc.free_energy_closure().values), RED),
    ]
    for label, values, colour in lines:
        if np.isfinite(values).any():
            axes.semilogy(trajectory.time, np.maximum(values, floor), marker=".", color=colour, label=label)
    axes.set(xlabel="process time", ylabel="residual (nat; linear solves relative)", title="Residuals")
    axes.legend(frameon=False)


def save_figure(figure: Figure, path: str) -> None:
    """Write a figure; the ending of the name says in which format.

    Args:
        figure: What to write.
        path: File name.
    """
    for axes in figure.axes:
        formatter = axes.yaxis.get_major_formatter()
        if isinstance(formatter, ScalarFormatter):
            formatter.set_useOffset(False)
    figure.savefig(path, dpi=150)

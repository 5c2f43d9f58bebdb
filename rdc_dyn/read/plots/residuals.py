"""How well each point obeys the identities of an equilibrium path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rdc_dyn.read.identities import free_energy_closure, maxwell_residual
from rdc_dyn.read.plots.runs import (
    Runs,
    add_legend,
    as_drawn,
    canvas,
    draw_branches,
    legend_entries,
    log_axis,
    positive,
)  # fmt: skip
from rdc_dyn.read.plots.style import LABELS, Style, figure_of, label
from rdc_dyn.read.units import Units, in_units


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


def plot_residuals(
    runs: Runs,
    *,
    axes: Axes | Sequence[Axes] | None = None,
    look: Mapping[str, Style] | None = None,
    units: Units = "nats",
) -> Figure:
    """Plot ‖∇J‖, |h − h₀| of what is held, Maxwell's relation and the closure of F over the clock, in four panels.

    A residual of exactly zero is drawn at 1e-17. A panel stays empty, and says so, where no run has its residual.
    """
    drawn = as_drawn(runs, look, units)
    figure, four = canvas(axes, (2, 2), (9.6 if len(drawn) == 1 else 11.4, 6.4))
    found = [residuals_of(one.trajectory, units) for one in drawn]
    for panel, name in zip(four, found[0]):
        for one, residuals in zip(drawn, found):
            values = residuals[name].values
            if np.isfinite(values).any():
                draw_branches(panel, one.trajectory, one.trajectory.time.values, positive(values), one.style)
        panel.set(xlabel=LABELS["time"], ylabel=label(name, found[0][name]))
        if panel.lines:
            log_axis(panel)
        else:
            panel.text(0.5, 0.5, "none", transform=panel.transAxes, ha="center", va="center", color="0.5")
    add_legend(four[0] if figure is None else figure, legend_entries(drawn))
    return figure_of(four[0])

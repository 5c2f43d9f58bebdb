"""What all figures of runs share: styles, axes, branches with their jumps, and the legend."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rdc_dyn.read.identities.branches import branch_slices, jumped
from rdc_dyn.read.plots.style import BLACK, Style, label, new_figure, styles
from rdc_dyn.read.units import Units, in_units
from rdc_dyn.status import DataError, UserError, in_words

#: One trajectory, or several by name.
Runs = xr.Dataset | Mapping[str, xr.Dataset]
#: Axes to draw into, None for those of a new figure, and the style of each run, None for those of `styles`.
Where = Axes | Sequence[Axes] | None
Look = Mapping[str, Style] | None
#: With more runs than this, a legend would hide the figure.
MOST_NAMES = 40
#: Zeros are drawn at this value on a logarithmic axis.
FLOOR = 1e-17


@dataclass(frozen=True)
class Drawn:
    """A run to be drawn: its name in the legend, its trajectory of at least one point, and its style."""

    name: str
    trajectory: xr.Dataset
    style: Style


def as_drawn(runs: Runs, look: Mapping[str, Style] | None = None, units: Units = "nats") -> list[Drawn]:
    """Pair the runs that have points with their styles, by default those of `styles`, in the order given.

    DataError is raised if no run has a point, and UserError if `look` lacks a run, the units are unknown or the dataset
    is a surface.
    """
    named = _by_name(runs) if isinstance(runs, xr.Dataset) else dict(runs)
    look = styles(list(named)) if look is None else look
    missing = [name for name in named if name not in look]
    if missing:
        raise UserError(f"look: no style for {missing[0]!r}; expected one for each run, as styles(names) gives")
    drawn = [Drawn(name, in_units(run, units), look[name]) for name, run in named.items() if run.sizes.get("time", 0)]
    if not drawn:
        raise DataError("plot: the trajectory has no points" if len(named) == 1 else "plot: no run has a point")
    return drawn


def _by_name(runs: xr.Dataset) -> dict[str, xr.Dataset]:
    """A trajectory by its title, or each run of an opened sweep by the values of the swept keys."""
    swept = [dim for dim in runs.free_energy.dims if dim != "time"] if "free_energy" in runs else []
    if swept and "time" not in runs.dims:
        raise UserError("plot: the dataset has no dimension time; plot_surface draws a surface")
    if not swept:
        return {str(runs.attrs.get("title", "run")): runs}
    found: dict[str, xr.Dataset] = {}
    for place in np.ndindex(*(runs.sizes[dim] for dim in swept)):
        one = runs.isel(dict(zip(swept, place)))
        words = (value if isinstance(value := one[dim].item(), str) else f"{value:.15g}" for dim in swept)
        found[", ".join(word or "-" for word in words)] = one.isel(time=np.isfinite(one.free_energy.values))
    return found


def axis_label(name: str, drawn: Sequence[Drawn]) -> str:
    """The label of a variable, with the unit that the runs have it in."""
    return label(name, *(one.trajectory[name] for one in drawn if name in one.trajectory.variables))


def title_of(drawn: Sequence[Drawn]) -> str:
    """The title and the status of a run, or the number of runs."""
    if len(drawn) > 1:
        return f"{len(drawn)} runs"
    attributes = drawn[0].trajectory.attrs
    return f"{attributes.get('title', drawn[0].name)}   [{in_words(str(attributes.get('status', '')))}]"


def canvas(
    axes: Axes | Sequence[Axes] | np.ndarray | None, shape: tuple[int, int], size: tuple[float, float]
) -> tuple[Figure | None, list[Axes]]:
    """A new figure with its axes, or None with the axes that the caller gave; UserError if their number is wrong.

    A new figure has `shape` (rows, columns) and `size` (width, height) in inches.
    """
    if axes is None:
        figure, grid = new_figure(*shape, size)
        return figure, list(grid.flat)
    given = [axes] if isinstance(axes, Axes) else list(np.asarray(axes, dtype=object).flat)
    if len(given) != shape[0] * shape[1]:
        raise UserError(f"axes: {len(given)} given; expected {shape[0] * shape[1]}")
    return None, given


def draw_branches(
    axes: Axes, trajectory: xr.Dataset, x: np.ndarray, y: np.ndarray, style: Style, label: str | None = None
) -> None:
    """Draw a line per branch of equilibria; a thin dotted line to an empty diamond is a jump to another branch."""
    leads = np.asarray(jumped(trajectory).values)
    every = max(1, math.ceil(len(x) / 25))
    for k, branch in enumerate(branch_slices(leads)):
        axes.plot(
            x[branch], y[branch], color=style.color, linestyle=style.linestyle, marker=style.marker, markersize=3.5,
            markevery=every, linewidth=1.4, label=label if k == 0 else None,
        )  # fmt: skip
        if k:
            axes.plot(
                x[branch.start - 1 : branch.start + 1], y[branch.start - 1 : branch.start + 1],
                color=style.color, linestyle=":", linewidth=0.9,
            )  # fmt: skip
            axes.plot(x[branch.start], y[branch.start], **_JUMP, zorder=4)


_JUMP: dict[str, Any] = {
    "marker": "d",
    "markersize": 8,
    "markerfacecolor": "none",
    "markeredgecolor": BLACK,
    "linestyle": "none",
}
_START: dict[str, Any] = {
    "marker": "o",
    "markersize": 9,
    "markerfacecolor": "none",
    "markeredgecolor": BLACK,
    "linestyle": "none",
}


def mark_start(axes: Axes, x: float, y: float) -> None:
    """Draw a ring around the first point."""
    axes.plot(x, y, **_START, zorder=5)


def mark_direction(axes: Axes, x: np.ndarray, y: np.ndarray, color: str) -> None:
    """Draw an arrow in the middle of a path, along the step there."""
    middle = len(x) // 2
    if len(x) < 2 or (x[middle] == x[middle - 1] and y[middle] == y[middle - 1]):
        return
    arrow = {"arrowstyle": "-|>", "color": color, "linewidth": 1.2, "mutation_scale": 14, "shrinkA": 0, "shrinkB": 0}
    axes.annotate(
        "", (x[middle], y[middle]), (x[middle - 1], y[middle - 1]), arrowprops=arrow, zorder=6, annotation_clip=True
    )


def legend_entries(drawn: Sequence[Drawn], *, start: bool = False) -> list[Line2D]:
    """Legend handles: the runs, if there are 2 to `MOST_NAMES` of them, and what the marks mean."""
    names = drawn if 1 < len(drawn) <= MOST_NAMES else ()
    entries = [Line2D([], [], **d.style.line, markersize=4, label=d.name) for d in names]
    if start:
        entries.append(Line2D([], [], label="start", **_START))
    if any(bool(jumped(d.trajectory).any()) for d in drawn):
        entries.append(Line2D([], [], label="jump to another branch", **_JUMP))
    return entries


def add_legend(where: Figure | Axes, entries: Sequence[Line2D]) -> None:
    """Add a legend to the right of a whole figure, or inside single axes; do nothing without entries."""
    if not entries:
        return
    if isinstance(where, Figure):
        columns = math.ceil(len(entries) / 20)
        where.legend(handles=list(entries), loc="outside right upper", frameon=False, fontsize=8, ncols=columns)
    else:
        where.legend(handles=list(entries), frameon=False, fontsize=8, loc="best")


def positive(values: np.ndarray) -> np.ndarray:
    """|values|, at least `FLOOR`, for a logarithmic axis; NaN stays NaN."""
    return np.maximum(np.abs(values), FLOOR)


def log_axis(axes: Axes) -> None:
    """Make the y axis logarithmic, over at least two decades around what has been drawn and from about `FLOOR` up."""
    axes.set_yscale("log")
    low, high = axes.dataLim.y0, axes.dataLim.y1
    if np.isfinite([low, high]).all() and 0 < low <= high:
        centre, half = 0.5 * np.log10(low * high), max(0.55 * np.log10(high / low), 1.0)
        axes.set_ylim(max(10 ** (centre - half), 0.3 * FLOOR), 10 ** (centre + half))

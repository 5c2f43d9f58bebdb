"""Work–precision diagrams: error against cost, wall time and step size, to see which runs are accurate and cheap."""

import math

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatterMathtext, LogLocator, NullFormatter

from rdc_dyn.read.plots.style import Style, label, new_figure, styles
from rdc_dyn.read.units import Units, in_units


def plot_work_precision(comparison: xr.Dataset, quantity: str = "error_losses", *, units: Units = "nats") -> Figure:
    """Plot an error of `rdc_dyn.compare` against gradient-equivalents, wall time, and step size or tolerance.

    Points at their floor are hollow; runs that did not complete are left out and counted. The legend gives the observed
    order of each series from the points off the floor, which is the power of rtol where the tolerance is varied.
    """
    comparison = in_units(comparison, units)
    kinds = [
        k
        for k in ("step_size", "rtol")
        if (comparison.resolution_kind.values[_usable(comparison, quantity)] == k).any()
    ]
    names = sorted({str(name) for name in comparison.series.values})
    panels = 2 + max(1, len(kinds))
    width = 4.4 * panels
    columns = _columns(names, width)
    figure, axes = new_figure(1, panels, (width, 4.2 + 0.24 * math.ceil(len(names) / columns)))
    looks = styles(names)
    drawn = dict.fromkeys(names, False)
    for name in names:
        order = np.flatnonzero((comparison.series.values == name) & _usable(comparison, quantity))
        for axis, what in ((axes[0, 0], "gradient_equivalents"), (axes[0, 1], "wall_time")):
            drawn[name] |= _line(axis, comparison.isel(run=order), what, quantity, looks[name])
        for axis, kind in zip(axes[0, 2:], kinds):
            mine = order[comparison.resolution_kind.values[order] == kind]
            _line(axis, comparison.isel(run=mine), "resolution", quantity, looks[name])
    for axis, what in zip(axes[0], ["gradient_equivalents", "wall_time", *kinds]):
        words = {"step_size": "step size (process clock)", "rtol": "relative tolerance of the integrator"}
        axis.set(xscale="log", yscale="log", xlabel=words.get(what) or label(what, comparison[what]))
        _ticks(axis)
    axes[0, 0].set_ylabel(label(quantity, comparison[quantity]))
    _legend(figure, comparison, quantity, [n for n in names if drawn[n]], looks, columns)
    return figure


def _ticks(axes: Axes) -> None:
    """Label decades, and 2 and 5 where decades are few; labels of minor ticks would run into each other."""
    low, high = axes.get_xlim()
    few = math.log10(high / low) < 2.5
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if few else (1.0,)))
    axes.xaxis.set_major_formatter((lambda x, _: f"{x:g}") if few and low > 1e-4 else LogFormatterMathtext())
    axes.xaxis.set_minor_formatter(NullFormatter())


def _usable(comparison: xr.Dataset, quantity: str) -> np.ndarray:
    """Mask of completed runs with an error that a logarithmic axis can show."""
    error = comparison[quantity].values
    return (comparison.status.values == "COMPLETED") & np.isfinite(error) & (error > 0)


def _line(axes: Axes, series: xr.Dataset, what: str, quantity: str, look: Style) -> bool:
    """Draw a series in the order of its resolution and return whether it has a point."""
    if not series.sizes["run"]:
        return False
    series = series.isel(run=np.argsort(-series.resolution.values))
    x, y = series[what].values, series[quantity].values
    low = series.at_floor.sel(quantity=quantity).values.astype(bool)
    axes.plot(x, y, color=look.color, linestyle=look.linestyle, linewidth=1.2)
    axes.plot(x[~low], y[~low], look.marker, color=look.color, markersize=5)
    axes.plot(x[low], y[low], look.marker, color=look.color, markersize=5, markerfacecolor="white")
    return True


def _legend(
    figure: Figure, comparison: xr.Dataset, quantity: str, names: list[str], looks: dict[str, Style], columns: int
) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], **looks[n].line, markersize=5, label=f"{n}: {_order(comparison, quantity, n)}") for n in names
    ]
    notes = []
    if bool(comparison.at_floor.sel(quantity=quantity).any()):
        notes.append("hollow: at its floor, left out of the order")
    stopped = int((comparison.status.values != "COMPLETED").sum())
    if stopped:
        notes.append(f"{stopped} of {comparison.sizes['run']} runs did not complete and are not shown")
    title = "; ".join(notes) or None
    figure.legend(
        handles=handles, loc="outside lower center", ncols=min(columns, len(names) or 1), frameon=False, fontsize=9,
        title=title, title_fontsize=9,
    )  # fmt: skip


def _columns(names: list[str], width: float) -> int:
    """How many legend columns fit into `width` inches, at 13 letters per inch and 30 for the order behind a name."""
    longest = max((len(name) for name in names), default=0) + 30
    return max(1, min(3, int(13 * width / longest)))


def _order(comparison: xr.Dataset, quantity: str, name: str) -> str:
    """The observed order of a series, in words."""
    one = comparison.sel(series_name=name, quantity=quantity)
    value, low, high = float(one.order), float(one.order_low), float(one.order_high)
    if not math.isfinite(value):
        return (
            "no order, at its floor"
            if bool(comparison.at_floor.sel(quantity=quantity).values[comparison.series.values == name].any())
            else "no order"
        )
    half = f" ± {0.5 * (high - low):.2f}" if math.isfinite(low) else ""
    return (
        f"error ~ rtol$^{{{value:.2f}{half}}}$" if str(one.order_kind.item()) == "rtol" else f"order {value:.2f}{half}"
    )

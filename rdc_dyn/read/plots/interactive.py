"""Trajectories and surfaces that one can turn: one offline page with a mark that moves along all panels at once."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from rdc_dyn.read.identities.branches import jumped
from rdc_dyn.read.plots.runs import Drawn, Runs, as_drawn, positive, title_of
from rdc_dyn.read.plots.style import LOOKS, Style, label, with_unit
from rdc_dyn.read.plots.surface import as_surface, logarithmic
from rdc_dyn.read.plots.trajectory import residuals_of
from rdc_dyn.read.units import Units
from rdc_dyn.record import FUNCTIONALS
from rdc_dyn.status import UserError

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_LABELS = {
    "time": "process clock s",
    "lam": "multiplier λ",
    "gamma": "multiplier γ",
    "rate": "rate R",
    "distortion": "distortion D",
    "classification_loss": "classification loss C",
    "free_energy": "free energy F",
    "equilibrium_residual": "|∇J|",
    "constraint_residual": "|h − h₀|",
    "maxwell_residual": "D_γ − C_λ, relative",
    "free_energy_closure": "closure of F",
}
_DASHES = {"-": "solid", "--": "dash", "-.": "dashdot", ":": "dot"}
_SYMBOLS = {"o": "circle", "s": "square", "^": "triangle-up", "D": "diamond", "v": "triangle-down", "P": "cross"}
#: Positions of the slider, and where the scenes are looked at from.
_STEPS = 100
_EYE = {"x": -1.5, "y": -1.7, "z": 0.9}
#: Moves each run's marks to the point under the mouse, or to the slider's share of every path.
_SCRIPT = """
const page = document.getElementById("{plot_id}"), marks = %s;
function show(place) {
  const flat = {x: [], y: []}, deep = {x: [], y: [], z: []}, two = [], three = [];
  for (const [mark, line] of marks) {
    const data = page.data[line], i = place(data.x.length), into = data.z ? deep : flat;
    for (const axis of Object.keys(into)) into[axis].push([data[axis][i]]);
    (data.z ? three : two).push(mark);
  }
  Plotly.restyle(page, flat, two);
  Plotly.restyle(page, deep, three);
}
page.on("plotly_hover", event => {
  const {curveNumber, pointNumber} = event.points[0], length = page.data[curveNumber].x.length;
  show(n => n === length ? pointNumber : Math.round(pointNumber / Math.max(length - 1, 1) * (n - 1)));
});
page.on("plotly_sliderchange", event => show(n => Math.round(event.slider.active / %d * (n - 1))));
"""


def trajectory_page(runs: Runs, *, look: Mapping[str, Style] | None = None, units: Units = "nats") -> Figure:
    """Plot (R, D), (R, D, C), (λ, γ), losses and residuals of one run or several as a plotly figure.

    Args:
        runs: A trajectory, or several by name.
        look: Style of each run, as `styles` gives; None chooses.
        units: nats or bits.

    Returns:
        The figure; `interactive_page` makes a page of it in which a mark follows the mouse through all panels.

    Raises:
        UserError: If plotly is not installed, or the units are unknown.
        DataError: If no run has a point.
    """
    go, make_subplots = _plotly()
    drawn = as_drawn(runs, look, units)
    specs = [[{"type": "xy"}, {"type": "scene"}, {"type": "xy"}], [{"type": "xy", "colspan": 2}, None, {"type": "xy"}]]
    figure = make_subplots(rows=2, cols=3, specs=specs, horizontal_spacing=0.07, vertical_spacing=0.12)
    marks: list[tuple[int, int]] = []
    middles = {name: _middle(drawn, name) for name in FUNCTIONALS}
    for one in drawn:
        for row, column, values, style, name in _panels(one, units, middles, alone=len(drawn) == 1):
            kind = go.Scatter3d if len(values) == 3 else go.Scatter
            where = {"row": row, "col": column}
            look_of = {"color": style.color, "width": 2, "dash": _DASHES[style.linestyle]}
            points = dict(zip("xyz", map(_list, values)))
            shown = (row, column) == (1, 1) and len(drawn) > 1
            figure.add_trace(
                kind(
                    **points, name=name, legendgroup=one.name, showlegend=shown or name != one.name, line=look_of,
                    mode="lines+markers", marker=_marker(one, style, len(values) == 3), text=_texts(one),
                    hovertemplate="%{text}<extra></extra>",
                ),
                **where,
            )  # fmt: skip
            marks.append((len(figure.data), len(figure.data) - 1))
            figure.add_trace(
                kind(
                    **{axis: [value[0]] for axis, value in points.items()}, mode="markers", showlegend=False,
                    hoverinfo="skip", legendgroup=one.name,
                    marker={"size": 6 if len(values) == 3 else 13, "color": "rgba(0,0,0,0)" if len(values) == 2 else
                            style.color, "line": {"width": 2, "color": "black"}},
                ),
                **where,
            )  # fmt: skip
    _dress(figure, drawn)
    figure.update_layout(meta={"marks": marks})
    return figure


def surface_page(grid: xr.Dataset, *, units: Units = "nats") -> Figure:
    """Plot a surface as a plotly figure: F over (λ, γ) coloured by C, and (R, D, C) coloured by F.

    Args:
        grid: A surface, as `rdc_dyn.surface` returns it.
        units: nats or bits.

    Returns:
        The figure.

    Raises:
        UserError: If plotly is not installed, the grid has not two values of each multiplier, or the units are
            unknown.
    """
    go, make_subplots = _plotly()
    grid = as_surface(grid, units)
    figure = make_subplots(rows=1, cols=2, specs=[[{"type": "scene"}, {"type": "scene"}]])
    panels = (("lam", "gamma", "free_energy"), "classification_loss"), (FUNCTIONALS, "free_energy")
    like = grid.free_energy.transpose("gamma", "lam")
    texts = [[_text(grid.sel(lam=x, gamma=y)) for x in like.lam] for y in like.gamma]
    for column, (axes, color) in enumerate(panels, start=1):
        values = {
            axis: grid[name].broadcast_like(like).transpose("gamma", "lam").values for axis, name in zip("xyz", axes)
        }
        bar = {
            "title": {"text": _label(color, grid[color]), "side": "right"},
            "len": 0.6,
            "x": 0.45 if column == 1 else 1.0,
        }
        figure.add_trace(
            go.Surface(
                **{axis: value.tolist() for axis, value in values.items()}, colorscale="Viridis", colorbar=bar,
                surfacecolor=grid[color].transpose("gamma", "lam").values.tolist(), text=texts,
                hovertemplate="%{text}<extra></extra>",
            ),
            row=1, col=column,
        )  # fmt: skip
        scene = {f"{axis}axis_title_text": _label(name, grid[name]) for axis, name in zip("xyz", axes)}
        even_in_log = [name for name in ("lam", "gamma") if logarithmic(grid[name].values)]
        types = {f"{axis}axis_type": "log" for axis, name in zip("xyz", axes) if name in even_in_log}
        figure.update_scenes(**scene, **types, aspectmode="cube", camera_eye=_EYE, row=1, col=column)
    figure.update_layout(title_text=str(grid.attrs.get("title", "surface")), height=640, margin={"t": 60, "b": 10})
    return figure


def interactive_page(figure: Figure) -> str:
    """One HTML page without any reference to elsewhere, in which marks follow the mouse and the slider."""
    title = html.escape(figure.layout.title.text)
    return _html(figure, whole=True).replace("<head>", f"<head><title>{title}</title>", 1)


def interactive_part(figure: Figure) -> str:
    """The same as a part of another page, which must hold no second one."""
    return _html(figure, whole=False)


def _html(figure: Figure, *, whole: bool) -> str:
    marks = (figure.layout.meta or {}).get("marks")
    script = None if marks is None else _SCRIPT % (json.dumps(marks), _STEPS)
    return str(figure.to_html(include_plotlyjs=True, full_html=whole, post_script=script))


def _plotly() -> tuple[Any, Any]:
    try:
        import plotly.graph_objects as go
        from plotly.subplots import make_subplots
    except ImportError:
        raise UserError("interactive figures need plotly: pip install 'rdc-dyn[view]'") from None
    return go, make_subplots


def _panels(
    one: Drawn, units: Units, middles: Mapping[str, float | None], *, alone: bool
) -> Iterator[tuple[int, int, Sequence[np.ndarray], Style, str]]:
    """Row, column, values, style and name of each line of a run."""
    run, time = one.trajectory, one.trajectory.time.values
    yield 1, 1, [run.rate.values, run.distortion.values], one.style, one.name
    yield 1, 2, [_flat(run[name].values, middles[name]) for name in FUNCTIONALS], one.style, one.name
    yield 1, 3, [run.lam.values, run.gamma.values], one.style, one.name
    if not alone:
        yield 2, 1, [time, run.classification_loss.values], one.style, one.name
        yield 2, 3, [time, positive(run.equilibrium_residual.values)], one.style, one.name
        return
    for name, style in zip(FUNCTIONALS, LOOKS):
        values = run[name].values
        yield 2, 1, [time, values - values[0]], style, with_unit(f"change of {_LABELS[name]}", run[name].attrs)
    for (name, found), style in zip(residuals_of(run, units).items(), LOOKS):
        if np.isfinite(found.values).any():
            yield 2, 3, [time, positive(found.values)], style, _label(name, found)


def _dress(figure: Any, drawn: Sequence[Drawn]) -> None:
    alone = len(drawn) == 1
    names = ("time", "lam", "gamma", *FUNCTIONALS, "equilibrium_residual")
    labels = {name: _label(name, *(one.trajectory[name] for one in drawn)) for name in names}
    change = with_unit("change since the start", drawn[0].trajectory.rate.attrs)
    for row, column, x, y in (
        (1, 1, "rate", labels["distortion"]),
        (1, 3, "lam", labels["gamma"]),
        (2, 1, "time", change if alone else labels["classification_loss"]),
        (2, 3, "time", "residual" if alone else labels["equilibrium_residual"]),
    ):
        figure.update_xaxes(title_text=labels[x], row=row, col=column)
        figure.update_yaxes(title_text=y, row=row, col=column)
    figure.update_yaxes(type="log", exponentformat="power", row=2, col=3)
    symbols = {name: with_unit(symbol, drawn[0].trajectory[name].attrs) for name, symbol in zip(FUNCTIONALS, "RDC")}
    scene = {f"{axis}axis_title_text": text for axis, text in zip("xyz", symbols.values())}
    ranges = _widened(drawn)
    figure.update_scenes(**scene, **ranges, aspectmode="cube", camera_eye=_EYE)
    if not alone and "zaxis_range" in ranges:
        figure.update_yaxes(range=ranges["zaxis_range"], row=2, col=1)
    steps = [{"method": "skip", "label": f"{k}"} for k in range(_STEPS + 1)]
    slider = {"steps": steps, "currentvalue": {"prefix": "along the path: ", "suffix": " %"}, "pad": {"t": 50}}
    figure.update_layout(
        title_text=title_of(drawn), height=820, sliders=[slider], template="plotly_white", hovermode="closest",
        margin={"t": 60, "b": 20, "l": 70, "r": 20}, legend={"orientation": "v", "x": 1.02},
    )  # fmt: skip


def _widened(drawn: Sequence[Drawn]) -> dict[str, list[float]]:
    """Ranges of the axes of (R, D, C) along which the runs are constant to rounding, so that rounding fills none."""
    found = {}
    for axis, name in zip("xyz", FUNCTIONALS):
        values = np.concatenate([_flat(one.trajectory[name].values, _middle(drawn, name)) for one in drawn])
        low, high = float(np.nanmin(values)), float(np.nanmax(values))
        least = 0.02 * max(abs(low), abs(high))
        if high - low < least:
            found[f"{axis}axis_range"] = [0.5 * (low + high) - least, 0.5 * (low + high) + least]
    return found


def _marker(one: Drawn, style: Style, small: bool) -> dict[str, Any]:
    """Dots on few points, and diamonds where a jump to another branch has led."""
    leads = np.asarray(jumped(one.trajectory).values)
    every = max(1, math.ceil(len(leads) / 25))
    size = [9 if jump else 5 if k % every == 0 else 0 for k, jump in enumerate(leads)]
    plain = "circle" if small else _SYMBOLS.get(style.marker, "circle")
    symbol = ["diamond" if jump else plain for jump in leads]
    return {"size": size, "symbol": symbol, "color": style.color}


def _texts(one: Drawn) -> list[str]:
    return [f"<b>{one.name}</b><br>" + _text(one.trajectory.isel(time=k)) for k in range(one.trajectory.sizes["time"])]


def _text(point: xr.Dataset) -> str:
    """The numbers of a point, for the label under the mouse."""
    names = ("time", "lam", "gamma", *FUNCTIONALS, "free_energy", "accuracy", "equilibrium_residual")
    symbols = ("s", "λ", "γ", "R", "D", "C", "F", "accuracy", "|∇J|")
    told = [(symbol, point[name]) for name, symbol in zip(names, symbols) if name in point.variables]
    return "<br>".join(f"{symbol} = {_number(value)}" for symbol, value in told if math.isfinite(value))


def _number(value: xr.DataArray) -> str:
    """A number with its unit."""
    units = value.attrs.get("units", "1")
    return f"{float(value):.6g}" + ("" if units == "1" else f" {units}")


def _label(name: str, *shown: xr.DataArray) -> str:
    return label(name, *shown, texts=_LABELS).replace("\n", "<br>")


def _middle(drawn: Sequence[Drawn], name: str) -> float | None:
    """The value of a variable that is constant to 1e-6 in all runs, else None."""
    values = np.concatenate([one.trajectory[name].values for one in drawn])
    middle = float(np.nanmean(values))
    return middle if np.nanmax(np.abs(values - middle)) <= 1e-6 * abs(middle) else None


def _flat(values: np.ndarray, middle: float | None) -> np.ndarray:
    """Values that are constant made equal: a browser draws none whose differences its precision loses."""
    return values if middle is None else np.full_like(values, middle)


def _list(values: np.ndarray) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]

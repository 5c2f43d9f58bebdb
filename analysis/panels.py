"""One look for the paper's figures: a colour for each run, solid for this project's way, dashed for the recipe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullFormatter
from ways import Way, change, fail, gradient_equivalents, held_out, seconds, trajectories, variable

# Okabe & Ito's colours, which colour-blind readers tell apart.
BLUE, RED, GREEN, ORANGE, PURPLE = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7"
SKY, BLACK, GREY = "#56B4E9", "#000000", "0.45"
COLOURS = (BLUE, RED, GREEN, ORANGE, PURPLE, SKY, BLACK)
OURS, RECIPE = "-", "--"
MARKERS = {OURS: ".", RECIPE: "x"}
#: Longer runs are lines without points.
MOST_MARKED = 40
WAYS = {OURS: "this project's way", RECIPE: "the paper's recipe"}
LAM, GAMMA, S, T = r"$\lambda$", r"$\gamma$", "process clock $s$", "data position $t$"
R, D, C = "rate $R$ (nat)", "distortion $D$ (nat)", "classification loss $C$ (nat)"
Value = Callable[[xr.Dataset], Any]


@dataclass(frozen=True)
class Line:
    """A run and how it looks."""

    trajectory: xr.Dataset
    colour: str
    way: str

    def look(self, points: int) -> dict[str, Any]:
        """Keywords of a matplotlib line."""
        marker = {"marker": MARKERS[self.way], "markersize": 5} if points <= MOST_MARKED else {}
        return {"color": self.colour, "linestyle": self.way, "linewidth": 1.4, **marker}


def colours(ours: Way, recipe: Way) -> dict[str, str]:
    """A colour for each label of either way."""
    return {label: COLOURS[k % len(COLOURS)] for k, label in enumerate(dict.fromkeys([*ours, *recipe]))}


def lines(ours: Way, recipe: Way) -> list[Line]:
    """Runs of both ways: one colour per label, solid or dashed."""
    colour, ways = colours(ours, recipe), ((OURS, ours), (RECIPE, recipe))
    return [Line(ds, colour[label], style) for style, way in ways for label, ds in trajectories(way).items()]


def canvas(rows: int, columns: int, size: tuple[float, float] | None = None) -> tuple[Figure, np.ndarray]:
    """A figure with axes of one look."""
    size = size or (4.7 * columns, 3.7 * rows)
    figure, axes = plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
    for one in axes.flat:
        one.spines[["top", "right"]].set_visible(False)
        one.grid(color="0.92", linewidth=0.6)
        one.set_axisbelow(True)
        one.ticklabel_format(useOffset=False)
        one.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    return figure, axes


def draw(axes: Axes, drawn: Sequence[Line], x: Value, y: Value, **labels: Any) -> None:
    """y over x for every run, with its recorded points where there are few, and a ring at the start."""
    for one in drawn:
        across, up = np.asarray(x(one.trajectory)), np.asarray(y(one.trajectory))
        axes.plot(across, up, **one.look(len(across)))
        axes.plot(across[:1], up[:1], "o", markerfacecolor="none", markeredgecolor=one.colour, markersize=8)
    axes.set(**labels)


def courses(axes: Sequence[Axes], drawn: Sequence[Line], x: Value, label: str) -> None:
    """Four panels that tell two ways apart: what should be constant, distance from the surface, and two costs."""
    panels = (
        (change(variable("classification_loss")), "Drift of $C$ on training data", r"$|C - C_0| / C_0$"),
        (variable("equilibrium_residual"), "Distance from equilibrium", r"$\|\nabla_\theta J\|$ (nat)"),
        (gradient_equivalents, "Cost since the start", "gradients + products"),
        (seconds, "Time since the start", "wall time (s)"),
    )
    for one, (series, title, unit) in zip(axes, panels):
        for each in drawn:
            across, up = np.asarray(x(each.trajectory)), np.asarray(series(each.trajectory))
            # Zero, as at the start, has no place on a logarithmic axis; the line without it keeps the start's place.
            one.plot(across, np.where(up > 0, up, np.nan), **each.look(len(across)))
            one.axvline(across[0], color="none")
        one.set(xlabel=label, ylabel=unit, title=title)
        _logarithmic(one)


def _logarithmic(axes: Axes) -> None:
    """At least two decades, labelled at powers of ten."""
    axes.set_yscale("log")
    axes.yaxis.set_minor_formatter(NullFormatter())
    low, high = axes.dataLim.y0, axes.dataLim.y1
    if np.isfinite([low, high]).all() and 0 < low <= high:
        middle, half = 0.5 * np.log10(low * high), max(0.55 * np.log10(high / low), 1.0)
        axes.set_ylim(10 ** (middle - half), 10 ** (middle + half))


def iso_classification(ours: Way, recipe: Way) -> Figure:
    """Nine panels of a sweep over γ₀: the paper's curves, and what tells the two ways apart, over the process clock."""
    figure, axes = canvas(3, 3)
    drawn, clock, loss = lines(ours, recipe), variable("time"), "classification_loss"
    multipliers = variable("lam"), variable("gamma")
    draw(axes[0, 0], drawn, variable("rate"), variable("distortion"), xlabel=R, ylabel=D, title="Rate–distortion curve")
    draw(axes[0, 1], drawn, *multipliers, xlabel=LAM, ylabel=GAMMA, title="Lagrange multipliers")
    draw(axes[0, 2], drawn, clock, held_out("accuracy"), xlabel=S, ylabel="accuracy", title=f"Accuracy{_of(drawn)}")
    draw(axes[1, 0], drawn, clock, variable(loss), xlabel=S, ylabel=C, title="Classification loss on training data")
    draw(axes[1, 1], drawn, clock, held_out(loss), xlabel=S, ylabel=C, title=f"Classification loss{_of(drawn)}")
    courses([axes[1, 2], *axes[2]], drawn, clock, S)
    return figure


def _of(drawn: Sequence[Line]) -> str:
    """What accuracies are of."""
    held = ["validation_accuracy" in one.trajectory for one in drawn]
    return " on held-out data" if all(held) else " on held-out or training data" if any(held) else " on training data"


def key(text: str, colour: str = BLACK, linestyle: Any = "-", **look: Any) -> Line2D:
    """An entry of a legend."""
    return Line2D([], [], color=colour, linestyle=linestyle, label=text, **look)


def keys(ours: Way, recipe: Way) -> list[Line2D]:
    """Entries for the colours of runs and the lines of ways."""
    seen = {**trajectories(ours), **trajectories(recipe)}
    named = {label.replace("gamma0", r"$\gamma_0$"): c for label, c in colours(ours, recipe).items() if label in seen}
    told = [(WAYS[style], style) for style, way in ((OURS, ours), (RECIPE, recipe)) if way]
    runs = [key(label, colour) for label, colour in named.items()]
    return runs + [key(text, GREY, style, marker=MARKERS[style], markersize=5) for text, style in told]


def headline(text: str, *ways: Way) -> str:
    """Names of the scenarios, and a text."""
    names = dict.fromkeys(str(ds.attrs["title"]) for way in ways for ds in trajectories(way).values())
    return f"{', '.join(names)}: {text}"


def save(figure: Figure, entries: Sequence[Line2D], title: str, path: str) -> None:
    """Write the figure with one legend below it."""
    figure.suptitle(title)
    figure.legend(handles=list(entries), loc="outside lower center", ncols=min(len(entries), 7), frameon=False)
    try:
        figure.savefig(path, dpi=150)
    except (OSError, ValueError) as error:
        fail(f"{path}: cannot write the figure ({error})", 4)
    plt.close(figure)
    print(f"wrote {path}")

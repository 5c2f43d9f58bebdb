"""The look of figures: colours for colour-blind readers, one style per run, labels with symbols and units."""

import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

from rdc_dyn.read.shown import is_negative
from rdc_dyn.store.commit import commit

# The palette of Okabe and Ito; yellow, which is faint on white, comes last.
BLUE, RED, GREEN, ORANGE = "#0072B2", "#D55E00", "#009E73", "#E69F00"
PURPLE, SKY, BLACK, YELLOW = "#CC79A7", "#56B4E9", "#000000", "#F0E442"
COLORS = (BLUE, RED, GREEN, ORANGE, PURPLE, SKY, BLACK, YELLOW)
#: One fewer than the colours, so that pairs of colour and marker repeat only after 56 names.
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINESTYLES = ("-", "--", "-.", ":")

#: The label, with symbol, of every plotted variable.
LABELS: dict[str, str] = {
    "time": r"process clock $s$",
    "lam": r"multiplier $\lambda$",
    "gamma": r"multiplier $\gamma$",
    "data_position": r"position of the data $t$",
    "rate": r"rate $R$",
    "distortion": r"distortion $D$",
    "classification_loss": r"classification loss $C$",
    "free_energy": r"free energy $F$",
    "weight_penalty": r"weight penalty $\Omega$",
    "accuracy": "classification accuracy",
    "validation_rate": r"validation rate $R$",
    "validation_distortion": r"validation distortion $D$",
    "validation_classification_loss": r"validation classification loss $C$",
    "validation_free_energy": r"validation free energy $J$",
    "validation_accuracy": "validation accuracy",
    "validation_target_classification_loss": r"validation classification loss $C$ of the target",
    "validation_target_accuracy": "validation accuracy of the target",
    "fresh_distortion": r"distortion $D$ on fresh noise",
    "fresh_classification_loss": r"classification loss $C$ on fresh noise",
    "code_accuracy": "accuracy of one sampled code",
    "validation_code_accuracy": "validation accuracy of one sampled code",
    "dissipation": r"dissipation $\int D\,d\lambda + C\,d\gamma + \partial_t F\,dt - (F - F_0)$",
    "ageing": r"$J$ lost in the last epoch of a point",
    "equilibrium_residual": r"$\|\nabla_\theta J\|$",
    "constraint_residual": r"$|h - h_0|$, $h$ held",
    "krylov_residual": r"linear solves, $\|b - Au\| / \|b\|$",
    "free_energy_closure": r"$|F - F_0 - \int D\,d\lambda + C\,d\gamma|$",
    "first_law_residual": r"$|\Delta R + \Delta\Omega + \int \lambda\,dD + \gamma\,dC|$",
    "maxwell_residual": r"$|D_\gamma - C_\lambda| / \sqrt{D_\lambda C_\gamma}$",
    "arclength": r"arclength in $(R, D, C)$",
    "curvature": r"curvature in $(R, D, C)$",
    "smallest_eigenvalue": r"smallest eigenvalue of $\nabla^2_\theta J$",
    "step_size": "step size",
    "error_multipliers": r"error of $(\lambda, \gamma)$",
    "error_losses": r"error of $(R, D, C)$",
    "error_held": r"drift of what is held",
    "error_closure": r"free-energy closure",
    "gradient_equivalents": "cost (gradient-equivalents)",
    "gradient_evaluations": r"evaluations of $\nabla J$",
    "hessian_vector_products": "Hessian-vector products",
    "vector_field_evaluations": "evaluations of the vector field",
    "wall_time": "wall time",
}


@dataclass(frozen=True)
class Style:
    """The look of the lines of one run, in matplotlib's terms."""

    color: str
    marker: str
    linestyle: str

    @property
    def line(self) -> dict[str, Any]:
        """The style as keywords of a matplotlib line."""
        return {"color": self.color, "marker": self.marker, "linestyle": self.linestyle}


#: Looks of several variables of one run.
LOOKS = (Style(BLUE, "o", "-"), Style(RED, "s", "--"), Style(GREEN, "^", "-."), Style(ORANGE, "D", ":"))


def styles(names: Sequence[str]) -> dict[str, Style]:
    """A style for each distinct name, the same in whatever order the names come.

    The k-th of the sorted names has the k-th colour; where colours repeat, the line style changes.
    """
    return {
        name: Style(COLORS[k % len(COLORS)], MARKERS[k % len(MARKERS)], LINESTYLES[k // len(COLORS) % len(LINESTYLES)])
        for k, name in enumerate(sorted(set(names)))
    }


class ShownFigure(Figure):
    """A figure that a notebook shows as it is, without pyplot and without a magic command."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()


def new_figure(rows: int = 1, columns: int = 1, size: tuple[float, float] | None = None) -> tuple[Figure, np.ndarray]:
    """A figure that needs no display, laid out so that nothing is cut off, and its axes (rows, columns).

    `size` is the width and height in inches; None: 5 by 3.9 for each of the axes.
    """
    figure = ShownFigure(figsize=size or (5.0 * columns, 3.9 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False)
    for one in axes.flat:
        dress(one)
    return figure, axes


def dress(axes: Axes) -> None:
    """Remove the top and right spines, and add a faint grid below the data and ticks without an offset."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=9)
    plain_ticks(axes)


def plain_ticks(axes: Axes) -> None:
    """Remove offsets such as "+1.2e1" from linear axes, in two or three dimensions."""
    for axis in (axes.xaxis, axes.yaxis, getattr(axes, "zaxis", None)):
        formatter = None if axis is None else axis.get_major_formatter()
        if isinstance(formatter, ScalarFormatter):
            formatter.set_useOffset(False)


def figure_of(axes: Axes) -> Figure:
    """The figure that axes belong to, even if they lie in a subfigure; TypeError if they were removed from it."""
    figure = axes.figure
    while figure is not None and not isinstance(figure, Figure):
        figure = figure.figure
    if figure is None:
        raise TypeError("the axes belong to no figure")
    return figure


def with_unit(text: str, attributes: Mapping[str, object]) -> str:
    """A text with the unit in the attributes of a variable, such as (nat)."""
    units = str(attributes.get("units", "1"))
    return text if units == "1" else f"{text} ({f'1/{units[:-2]}' if units.endswith('-1') else units})"


def label(name: str, *shown: xr.DataArray, texts: Mapping[str, str] = LABELS) -> str:
    """The axis label of a variable, from `texts` or else its long name, with its unit, and what a negative D is."""
    attributes = shown[0].attrs if shown else {}
    text = with_unit(texts.get(name, str(attributes.get("long_name", name))), attributes)
    negative = any(is_negative(name, values) for values in shown)
    return f"{text}\nminus a log density, may be negative" if negative else text


def save_figure(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure, in the format of the file's extension; DataError if it cannot be written, and nothing is."""
    for axes in figure.axes:
        plain_ticks(axes)
    path = Path(path)
    commit(path, lambda file: figure.savefig(file, format=path.suffix.removeprefix("."), dpi=200))

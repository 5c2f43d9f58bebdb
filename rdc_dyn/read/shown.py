"""What `ds.rdc` and other objects show of themselves, the same words as text and as HTML, and what figures remark."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rdc_dyn.record import VARIABLES
from rdc_dyn.status import RESUMABLE, escaped, plain, sentence

if TYPE_CHECKING:
    import xarray as xr

_SYMBOLS = {"distortion": "D", "classification_loss": "C"}
#: Every variable that is a D or a C, with its symbol.
_LOSSES = {f"{where}{loss}": symbol for loss, symbol in _SYMBOLS.items() for where in ("", "validation_", "fresh_")}


def is_negative(name: str, values: xr.DataArray) -> bool:
    """Whether a variable is a D or a C and is below zero somewhere."""
    return name in _LOSSES and bool((values < 0).any())


def note(dataset: xr.Dataset) -> str:
    """A sentence on D and C if one of them is below zero; empty otherwise."""
    found = (symbol for name, symbol in _LOSSES.items() if name in dataset and is_negative(name, dataset[name]))
    below = tuple(dict.fromkeys(found))
    if len(below) == 2:
        return "D and C are minus log densities and may be negative."
    return f"{below[0]} is minus a log density and may be negative." if below else ""


_VALUES = ("time", "lam", "gamma", "rate", "distortion", "classification_loss")
_WORK = (
    "vector_field_evaluations",
    "gradient_evaluations",
    "hessian_vector_products",
    "krylov_iterations",
    "corrector_iterations",
    "wall_time",
)
_WIDTH = 100


@dataclass(frozen=True)
class Shown:
    """A title, sentences, a table whose first column names its rows, and sentences below it."""

    title: str
    lead: Sequence[str] = ()
    headers: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    rest: Sequence[str] = ()

    def text(self) -> str:
        """For a terminal."""
        table = _aligned([self.headers, *self.rows]) if self.rows else []
        rest = [line for text in self.rest for line in textwrap.wrap(text, _WIDTH)]
        return plain("\n".join([f"<{self.title}>", *self.lead, *table, *rest]))

    def html(self) -> str:
        """For a notebook; all words are escaped."""
        lead, rest = ("".join(f"<div>{escaped(text)}</div>" for text in part) for part in (self.lead, self.rest))
        heads = "".join(f"<th>{escaped(cell)}</th>" for cell in self.headers)
        rows = "".join(f"<tr>{''.join(f'<td>{escaped(cell)}</td>' for cell in row)}</tr>" for row in self.rows)
        table = f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>" if self.rows else ""
        return f"<div><b>{escaped(self.title)}</b></div>{lead}{table}{rest}"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """A line for each row, with its name on the left and its other cells on the right of their columns."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    cells = ([name.ljust(widths[0]), *map(str.rjust, others, widths[1:])] for name, *others in rows)
    return ["  ".join(each).rstrip() for each in cells]


def trajectory(dataset: xr.Dataset, methods: Sequence[str]) -> Shown:
    """How a run ended, where it began and ended, its work, and what to do with it."""
    attributes = {name: str(value) for name, value in dataset.attrs.items()}
    title = f"rdc: {attributes.get('title', 'a dataset without a title')}"
    rest = ["members: " + ", ".join(methods)]
    sizes = {str(name): size for name, size in dataset.sizes.items() if name not in ("functional", "control")}
    if list(sizes) != ["time"]:
        dimensions = ", ".join(f"{name}: {size}" for name, size in sizes.items())
        return Shown(title, [dimensions or "no dimensions"], rest=rest)
    status = attributes.get("status", "no status")
    lead = [sentence(status, attributes.get("status_message", ""), attributes.get("status_detail"))]
    if status in RESUMABLE:
        rest = ["rdc_dyn.resume goes on from the last checkpoint of its run directory", *rest]
    if not sizes["time"]:
        return Shown(title, [*lead, "no points"], rest=rest)
    ends = {name: dataset[name].isel(time=[0, -1]).values for name in (*_VALUES, *_WORK) if _numeric(dataset, name)}
    span = f", time {' to '.join(map(_number, ends['time']))}" if "time" in ends else ""
    lead.append(f"{sizes['time']} points{span}{jumps_in_words(dataset)}")
    rows = [(name, *map(_number, pair), _unit(dataset, name)) for name, pair in ends.items() if name != "time"]
    return Shown(title, lead, ("", "first", "last", "unit"), rows, rest)


def jumps_in_words(dataset: xr.Dataset) -> str:
    """How many steps of a run led to another branch, as the end of a sentence; empty if none did."""
    from rdc_dyn.read.identities.branches import jumped

    count = int(jumped(dataset).sum())
    if not count:
        return ""
    often = 4 * count > dataset.sizes["time"]
    advice = ": branches of minima are short here; a larger objective.weight_prior_precision makes them longer"
    return f", {count} of them behind a jump to another branch" + advice * often


def _numeric(dataset: xr.Dataset, name: str) -> bool:
    return name in dataset.variables and dataset[name].dims == ("time",) and dataset[name].dtype.kind in "iuf"


def _number(value: float) -> str:
    return f"{value:.0f}" if float(value).is_integer() and abs(value) < 1e15 else f"{value:.6g}"


def _unit(dataset: xr.Dataset, name: str) -> str:
    units = str(dataset[name].attrs.get("units", VARIABLES[name].units))
    return "" if units == "1" else units


def floor_reasons(comparison: xr.Dataset) -> Iterator[tuple[str, str, int]]:
    """Quantity, reason, and the number of runs in which that quantity is at its floor for that reason."""
    for quantity in map(str, comparison["quantity"].values):
        reasons = Counter(str(each) for each in comparison.floor_reason.sel(quantity=quantity).values if each)
        yield from ((quantity, reason, count) for reason, count in sorted(reasons.items()))

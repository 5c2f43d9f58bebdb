"""claim | paper | this project's way | the paper's recipe: tables whose verdicts follow from stated rules."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from ways import (
    NOTHING,
    Number,
    Series,
    Way,
    change,
    closure,
    data_count,
    fail,
    gradient_equivalents,
    held_out,
    jumps,
    largest,
    last,
    problem,
    seconds,
    slope,
    spread,
    stored,
    straightness,
    trajectories,
    variable,
)  # fmt: skip

#: The paper says "constant" and "the same" and gives no number. So much an accuracy may differ (one in a hundred data),
#: and by such a share a loss, to be called so here; what was measured stands beside each verdict.
CONSTANT_ACCURACY, CONSTANT_LOSS = 0.01, 0.05
HEADER = ("claim", "paper", "this project's way", "the paper's recipe")
NOT_KNOWN = "not known"

#: What a way has to say to a claim.
Cell = Callable[[Way], str]


@dataclass(frozen=True)
class Row:
    """A claim of the paper beside what was measured."""

    claim: str
    paper: str
    ours: str
    recipe: str = NOTHING


def row(claim: str, paper: str, cell: Cell, ours: Way, recipe: Way) -> Row:
    """The same measure of both ways."""
    return Row(claim, paper, *(cell(way) if way else NOTHING for way in (ours, recipe)))


# %% Cells


def number(value: float, digits: int = 4) -> str:
    """So many digits."""
    return f"{value:.{digits}g}" if np.isfinite(value) else NOT_KNOWN


def verdict(holds: bool, text: str) -> str:
    """Yes or no, and what was measured."""
    return f"{'yes' if holds else 'no'}, {text}"


def completed(way: Way) -> str:
    """How many runs came to the end of their span, and how the others ended."""
    points = {label: 0 if run.trajectory is None else run.trajectory.sizes["time"] for label, run in way.items()}
    others = [f"{k}: {run.status} after {points[k]} points" for k, run in way.items() if run.status != "COMPLETED"]
    text = f"{len(way) - len(others)} of {len(way)}"
    return f"{text} ({'; '.join(others)})" if others else text


def over(values: Callable[[xr.Dataset], Any], low: float | None = None, high: float | None = None) -> Cell:
    """Smallest to largest of a value over all runs and, of a series, all points; with bounds, whether these hold."""

    def cell(way: Way) -> str:
        found = np.concatenate([np.empty(0), *(np.ravel(values(ds)) for ds in trajectories(way).values())])
        found = found[np.isfinite(found)]
        if not found.size:
            return NOT_KNOWN
        least, most = float(found.min()), float(found.max())
        text = number(least) if least == most else f"{number(least)} to {number(most)}"
        return text if low is None or high is None else verdict(low <= least and most <= high, text)

    return cell


def bounded(measure: Number, bound: float) -> Cell:
    """Whether a number is at most so large in every run that moved and knows it."""

    def cell(way: Way) -> str:
        found = [value for ds in trajectories(way, points=2).values() if np.isfinite(value := measure(ds))]
        if not found:
            return NOT_KNOWN
        within = sum(value <= bound for value in found)
        text = number(max(found)) if len(way) == 1 else f"largest {number(max(found))}, {within} of {len(found)} runs"
        return verdict(within == len(found), text)

    return cell


def monotone(series: Series, sign: int) -> Cell:
    """Whether a series rises (1) or falls (-1) at every step of every run."""

    def cell(way: Way) -> str:
        steps = np.concatenate([np.empty(0), *(np.diff(series(ds)) for ds in trajectories(way).values())])
        right = int((sign * steps > 0).sum())
        return verdict(right == steps.size, f"{right} of {steps.size} steps") if steps.size else NOT_KNOWN

    return cell


def total(measure: Number) -> Cell:
    """A number of each run, added."""
    return lambda way: number(sum((measure(ds) for ds in trajectories(way).values()), start=0.0))


def words(text: Callable[[xr.Dataset], str]) -> Cell:
    """What the runs say, each thing once."""
    return lambda way: "; ".join(dict.fromkeys(text(ds) for ds in trajectories(way).values())) or NOT_KNOWN


def only(label: str, cell: Cell) -> Cell:
    """A cell about one run of the way."""
    return lambda way: cell({label: way[label]}) if label in way else NOTHING


# %% Rows that several figures have


def constant_rows(ours: Way, recipe: Way, along: str) -> list[Row]:
    """Whether accuracy and C stay where they were."""
    loss, accuracy = "classification_loss", bounded(spread(held_out("accuracy")), CONSTANT_ACCURACY)
    rule = f"|C - C0| / C0 <= {CONSTANT_LOSS:g}"
    return [
        row(f"validation accuracy constant {along}: range <= {CONSTANT_ACCURACY:g}", "yes", accuracy, ours, recipe),
        row(f"C constant on training data: {rule}", "yes", _moves_little(variable(loss)), ours, recipe),
        row(f"C constant on validation data: {rule}", "yes", _moves_little(held_out(loss)), ours, recipe),
    ]


def _moves_little(series: Series) -> Cell:
    return bounded(largest(change(series)), CONSTANT_LOSS)


def curve_rows(ours: Way, recipe: Way) -> list[Row]:
    """The curve in (R, D), and F, whose change must be the work that the path took."""
    chord = slope("distortion", "rate")
    return [
        row("R rises at every step", "yes", monotone(variable("rate"), 1), ours, recipe),
        row("R + weight penalty rises at every step", "", monotone(stored, 1), ours, recipe),
        row("D falls at every step", "yes", monotone(variable("distortion"), -1), ours, recipe),
        row("mean slope dD/dR of each run", "", over(chord), ours, recipe),
        row("distance of (R, D) from its chord / length", "", over(straightness), ours, recipe),
        row("F - F0 = int D dlam + C dgamma, to 1 %", "", bounded(closure, 0.01), ours, recipe),
    ]


def course_rows(ours: Way, recipe: Way) -> list[Row]:
    """How near to the surface the paths stayed, and what they cost without their starts."""
    moved = change(variable("classification_loss"))
    return [
        row("largest |C - C0| / C0 of each run", "", over(largest(moved)), ours, recipe),
        row("largest |grad J| of each run (nat)", "", over(largest(variable("equilibrium_residual"))), ours, recipe),
        row("jumps to another branch of equilibria", "", total(jumps), ours, recipe),
        row("cost of the paths: gradients + products", "", total(largest(gradient_equivalents)), ours, recipe),
        row("wall time of the paths (s)", "", total(largest(seconds)), ours, recipe),
    ]


def run_rows(ours: Way, recipe: Way) -> list[Row]:
    """The same for each run by itself."""
    loss = variable("classification_loss")
    cells = {
        "to the end of its span": completed,
        "lam at the end": over(last(variable("lam"))),
        "gamma at the end": over(last(variable("gamma"))),
        "C at the start (nat)": over(lambda ds: float(loss(ds)[0])),
        "largest |C - C0| / C0": over(largest(change(loss))),
        "validation accuracy": over(held_out("accuracy")),
        "largest |grad J| (nat)": over(largest(variable("equilibrium_residual"))),
        "cost: gradients + products": over(largest(gradient_equivalents)),
        "wall time (s)": over(largest(seconds)),
    }
    labels = dict.fromkeys([*ours, *recipe])
    pairs = [(label, name) for label in labels for name in cells]
    return [row(f"{label}: {name}", "", only(label, cells[name]), ours, recipe) for label, name in pairs]


def origin_rows(ours: Way, recipe: Way, data: str) -> list[Row]:
    """What was run, on what."""

    def attribute(name: str) -> Cell:
        return words(lambda ds: str(ds.attrs.get(name, NOT_KNOWN)) or "none")

    measured_on = words(lambda ds: "held-out data" if "validation_accuracy" in ds else "training data, none held out")
    compared = Row("same data, objective, start and path", "", NOTHING, same_problem(ours, recipe))
    return [
        *([compared] if ours and recipe else []),
        row("scenario", "", attribute("title"), ours, recipe),
        row("what is called validation is of", "held-out data", measured_on, ours, recipe),
        row("training data", data, words(data_count), ours, recipe),
        row("parameters", "", attribute("parameters"), ours, recipe),
        row("number format", "", attribute("dtype"), ours, recipe),
        row("device", "", attribute("device"), ours, recipe),
        row("approximations", "", attribute("approximations"), ours, recipe),
        row("program", "", attribute("commit"), ours, recipe),
        row("versions", "", attribute("versions"), ours, recipe),
    ]


def same_problem(ours: Way, recipe: Way) -> str:
    """Whether runs of the same label have the same data, objective, start and path."""
    theirs = trajectories(recipe)
    pairs = [(problem(ds), problem(theirs[label])) for label, ds in trajectories(ours).items() if label in theirs]
    differ = dict.fromkeys(key for a, b in pairs for key in a if a[key] != b[key])
    return verdict(not differ, ", ".join(differ) or f"{len(pairs)} of {len(ours)} runs") if pairs else NOT_KNOWN


# %% The table


def write(rows: Sequence[Row], title: str, path: str) -> None:
    """Print the table and write it, as csv or as markdown by the ending of the name."""
    lines = [HEADER, *(astuple(one) for one in rows)]
    widths = [max(len(line[k]) for line in lines if len(line[k]) <= 60) for k in range(len(HEADER))]
    print(f"{title}\n")
    for line in lines:
        print("  ".join(text.ljust(width) for text, width in zip(line, widths)).rstrip())
    try:
        with open(path, "w", newline="", encoding="utf-8") as file:
            if Path(path).suffix == ".csv":
                csv.writer(file, lineterminator="\n").writerows(lines)
            else:
                cells = [" | ".join(text.replace("|", "\\|") or " " for text in line) for line in lines]
                head, *body = (f"| {text} |" for text in cells)
                file.write("\n".join([f"# {title}", "", head, "|---" * len(HEADER) + "|", *body]) + "\n")
    except OSError as error:
        fail(f"{path}: cannot write the table ({error.strerror or error})", 4)
    print(f"\nwrote {path}")

"""A model of the source becomes one of the target: by a transfer, by fine-tuning, from scratch (figures 5 and 6)."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import xarray as xr
from claims import NOT_KNOWN, Cell, Row, completed, number, over, verdict
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from panels import BLACK, BLUE, GAMMA, GREEN, LAM, MARKERS, OURS, RECIPE, RED, WAYS, D, Line, R, draw, key
from ways import ARRIVED, Way, gradient_equivalents, held_out, last, on_target, read_run, trajectories, variable

SHARE = "data position $t$; fine-tuning: share of its updates"
NAMES = ("TRANSFER", "RECIPE", "FINE_TUNING", "FROM_SCRATCH", "FIGURE", "TABLE")


@dataclass(frozen=True)
class Transfers:
    """The transfer by both ways, and the two runs that it is compared with."""

    ours: Way
    recipe: Way
    tuning: Way
    scratch: Way

    @property
    def pair(self) -> tuple[Way, Way]:
        """Both ways."""
        return self.ours, self.recipe

    @property
    def lines(self) -> list[Line]:
        """How the transfers are drawn."""
        ways = ((OURS, self.ours), (RECIPE, self.recipe))
        return [Line(ds, RED, style) for style, way in ways for ds in trajectories(way).values()]


def read(given: argparse.Namespace) -> Transfers:
    """The runs that a command line names."""
    label = "transfer"
    ours, recipe = read_run(given.transfer, label), read_run(given.recipe, label)
    return Transfers(ours, recipe, read_run(given.fine_tuning, "fine-tuning"), read_run(given.from_scratch, "scratch"))


def ends(way: Way, name: str) -> tuple[float, float]:
    """A variable on the target, first and last known value; NaN where the run has none."""
    values = np.concatenate([np.empty(0), *(on_target(name)(ds).values for ds in trajectories(way).values())])
    known = values[np.isfinite(values)]
    return (float(known[0]), float(known[-1])) if known.size else (float("nan"), float("nan"))


# %% Rows


def compared(name: str, other: Way, holds: Callable[[float, float], bool]) -> Cell:
    """What a variable on the target is at the end, against that of another run."""

    def cell(way: Way) -> str:
        own, others = ends(way, name)[1], ends(other, name)[1]
        if not np.isfinite([own, others]).all():
            return NOT_KNOWN
        arrived = max(float(ds.data_position[-1]) for ds in trajectories(way).values())
        text = f"{number(own)} against {number(others)}"
        return verdict(holds(own, others), text if arrived >= ARRIVED else f"{text}, at t = {number(arrived)}")

    return cell


def near(name: str, other: Way, bound: float) -> Cell:
    """Whether it ends as in another run, to a bound."""
    return compared(name, other, lambda own, others: abs(own - others) <= bound)


def above(name: str, other: Way, bound: float) -> Cell:
    """Whether it ends above that of another run by more than a bound."""
    return compared(name, other, lambda own, others: own - others > bound)


def below(name: str, other: Way, share: float) -> Cell:
    """Whether it ends below that of another run by more than a share of the latter."""
    return compared(name, other, lambda own, others: own < (1 - share) * others)


def starts_low(runs: Transfers) -> Cell:
    """Whether fine-tuning starts at less than half of the least accuracy along the transfer."""

    def cell(way: Way) -> str:
        first, along = ends(runs.tuning, "accuracy")[0], [held_out("accuracy")(ds) for ds in trajectories(way).values()]
        if not along or not np.isfinite(first):
            return NOT_KNOWN
        least = min(float(values.min()) for values in along)
        return verdict(first < 0.5 * least, f"{number(first)} against {number(least)}")

    return cell


def baseline_rows(runs: Transfers) -> list[Row]:
    """What the transfer is compared with; a fine-tuning's cost is without its start, and from scratch is a start."""
    rows = [Row("fine-tuning, from scratch: to the end", "", f"{completed(runs.tuning)}, {completed(runs.scratch)}")]
    for run, way in (("fine-tuning", runs.tuning), ("from scratch", runs.scratch)):
        for what, name in (("accuracy", "accuracy"), ("C (nat)", "classification_loss")):
            first, final = (number(value) for value in ends(way, name))
            rows.append(Row(f"{run}: {what} on the target, first and last", "", f"{first}, {final}"))
    spent = over(last(gradient_equivalents))(runs.tuning)
    rows.append(Row("fine-tuning: cost, gradients + products", "", spent))
    whole = over(lambda ds: float((ds.gradient_evaluations + ds.hessian_vector_products)[-1]))(runs.scratch)
    return [*rows, Row("from scratch: cost, gradients + products", "", whole)]


# %% Panels


def quantity(axes: Axes, runs: Transfers, name: str, label: str, title: str) -> None:
    """A variable on held-out data along the transfers, and on the target along fine-tuning and from scratch."""
    position = variable("data_position")
    draw(axes, runs.lines, position, held_out(name), xlabel=SHARE, ylabel=label, title=title)
    for ds in trajectories(runs.ours).values():
        if f"validation_target_{name}" in ds:
            axes.plot(position(ds), on_target(name)(ds), color=RED, linestyle=":", linewidth=1.0)
    for ds in trajectories(runs.tuning).values():
        axes.plot(share(ds), on_target(name)(ds), color=BLUE, marker=".", linewidth=1.4)
    for ds in trajectories(runs.scratch).values():
        axes.plot([1.0], [float(on_target(name)(ds)[-1])], "D", color=GREEN, markersize=7, zorder=5)


def share(ds: xr.Dataset) -> xr.DataArray:
    """Updates since the start, of all that come."""
    updates: xr.DataArray = ds.corrector_iterations - ds.corrector_iterations[0]
    return (updates / max(float(updates[-1]), 1.0)).reset_coords(drop=True)


def plane(axes: Axes, runs: Transfers) -> None:
    """(R, D) along the transfers, and the chord of each."""
    draw(axes, runs.lines, variable("rate"), variable("distortion"), xlabel=R, ylabel=D, title="Rate and distortion")
    for line in runs.lines:
        ends_of = line.trajectory.isel(time=[0, -1])
        axes.plot(ends_of.rate, ends_of.distortion, color=BLACK, linestyle=":", linewidth=1.0)


def multipliers(axes: Axes, runs: Transfers) -> None:
    """(λ, γ) along the transfers."""
    draw(axes, runs.lines, variable("lam"), variable("gamma"), xlabel=LAM, ylabel=GAMMA, title="Lagrange multipliers")


def keys(runs: Transfers) -> list[Line2D]:
    """Entries of the legend, of what is there."""
    entries = [
        key(f"transfer, {WAYS[style]}", RED, style, marker=MARKERS[style], markersize=5)
        for style, way in ((OURS, runs.ours), (RECIPE, runs.recipe))
        if trajectories(way)
    ]
    if any("validation_target_accuracy" in ds for ds in trajectories(runs.ours).values()):
        entries.append(key("transfer, on the target alone", RED, ":", linewidth=1.0))
    if trajectories(runs.tuning):
        entries.append(key("fine-tuning", BLUE, marker="."))
    if trajectories(runs.scratch):
        entries.append(key("from scratch", GREEN, "none", marker="D"))
    return [*entries, key("chord", BLACK, ":", linewidth=1.0)]

"""`Data` from named data sets: which data are selected, which are held out, and where they move to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor

from rdc_dyn.data.coupling import optimal_coupling, read_coupling
from rdc_dyn.data.readers import Labelled, Rows
from rdc_dyn.data.sample_checks import check_labels, check_names, check_sample, check_shape
from rdc_dyn.data.samples import Data, Sample
from rdc_dyn.status import DataError

__all__ = ["HeldOut", "Selection", "Transport", "load_data", "select"]


@dataclass(frozen=True)
class Selection:
    """Which data to take from a data set.

    Attributes:
        read: Reads the set as far as its labels.
        classes: Classes to keep, by label or by name, renumbered 0, 1, … in the order given; None for all.
        limit: Most data to keep, drawn at random; None for all.
    """

    read: Callable[[], Labelled]
    classes: tuple[int | str, ...] | None = None
    limit: int | None = None


@dataclass(frozen=True)
class Transport:
    """How the source data move to the target data.

    Attributes:
        file: npz file with a coupling; None for the optimal plan.
        label_cost: κ, the cost of a pair with different labels, in addition to the squared distance of x.
    """

    file: Path | None = None
    label_cost: float = 0.0


@dataclass(frozen=True)
class HeldOut:
    """Data sets that the dynamics never see, at t = 0 and, if the data move, at t = 1."""

    source: Selection
    target: Selection | None = None


@dataclass(frozen=True)
class Chosen:
    """Some data of a set, with inputs that are decoded on demand.

    Attributes:
        rows: Indices into the set.
        y: Labels after renumbering.
        names: Class names by label; empty if there are none.
    """

    labelled: Labelled
    rows: Rows
    y: Int[Tensor, "n"]
    classes: int
    names: tuple[str, ...]

    def x(self, dtype: torch.dtype) -> Tensor:
        """The inputs, flattened, on the CPU."""
        return self.labelled.inputs(self.rows, dtype)

    def __getitem__(self, order: Rows) -> Chosen:
        return replace(self, rows=self.rows[order], y=self.y[order])


def select(selection: Selection, seed: int) -> Chosen:
    """Choose data by their labels, without decoding any input; `seed` is for the random draw that `limit` makes.

    DataError is raised if a class is missing or the labels do not number classes.
    """
    labelled = selection.read()
    y, names = labelled.y, labelled.names
    rows = torch.arange(len(y))
    if selection.classes is not None:
        kept = labelled.labels(selection.classes)
        rows = torch.isin(y, torch.tensor(kept)).nonzero()[:, 0]
        renumbered = torch.zeros_like(y)
        for number, label in enumerate(kept):
            renumbered[y == label] = number
        y, names = renumbered, tuple(names[label] for label in kept) if names else ()
    elif len(y) and int(y.max()) >= len(y):
        raise DataError(
            f"{labelled.where}: datum {int(y.argmax())} has label {int(y.max())}, but there are only {len(y)} data; "
            "number the classes 0, 1, ... or name them in classes"
        )
    elif not labelled.numbered and (empty := sorted({*range(len(names))} - set(y.tolist()))):
        raise DataError(
            f"{labelled.where}: has no datum of class {names[empty[0]]}; put some there, or name the others in classes"
        )
    if selection.limit is not None and selection.limit < len(rows):
        rows = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))[: selection.limit]]
    y = y[rows]
    classes = len(selection.classes) if selection.classes is not None else (int(y.max()) + 1 if len(y) else 0)
    return Chosen(labelled, rows, y, classes, names)


def load_data(
    source: Selection,
    target: Selection | None,
    validation_fraction: float,
    seed: int,
    *,
    unit_interval: bool,
    like: Tensor,
    transport: Transport | None = None,
    held_out: HeldOut | None = None,
) -> Data:
    """Read source and target, hold data out, couple, check everything, and convert to the dtype and device of `like`.

    A share `validation_fraction` of the source and of the target is held out by independent splits, unless `held_out`
    names data sets to use instead. Without a `transport` the data of source and target mix. DataError is raised for
    invalid data.
    """
    loaded = partial(_loaded, unit_interval=unit_interval, like=like)
    first = select(source, seed)
    start, validation = _split("data.source", first, validation_fraction, seed + 1, loaded)
    classes, goal, goal_validation = first.classes, None, None
    if target is not None:
        last = select(target, seed)
        check_shape("data.target", last.labelled.shape, first.labelled.shape)
        goal, goal_validation = _split("data.target", last, validation_fraction, seed + 2, loaded)
        check_labels(first.y, last.y)
        classes = max(classes, last.classes)
    if classes < 2:
        raise DataError("data.source: only one class; a classification loss needs at least two")
    if held_out is not None:
        validation = _held_out("source", held_out.source, first, classes, seed, loaded)
        if held_out.target is not None and target is not None:
            goal_validation = _held_out("target", held_out.target, last, classes, seed, loaded)
    data = Data(
        source=start,
        target=goal,
        validation=validation,
        classes=classes,
        target_validation=goal_validation,
        shape=first.labelled.shape if len(first.labelled.shape) == 3 else (),
    )
    return data if transport is None or goal is None else _coupled(data, transport, like)


Load = Callable[[str, Chosen, int], Sample]


def _loaded(name: str, chosen: Chosen, classes: int, *, unit_interval: bool, like: Tensor) -> Sample:
    """Decode, check and move to the device."""
    if not len(chosen.rows):
        raise DataError(f"{name}: no data left (check classes and limit)")
    x = chosen.x(like.dtype)
    check_sample(name, x, chosen.y, classes, unit_interval=unit_interval, rows=chosen.rows)
    return Sample(x.to(like), chosen.y.to(like.device))


def _split(name: str, chosen: Chosen, fraction: float, seed: int, load: Load) -> tuple[Sample, Sample | None]:
    """Training and held-out data, as slices of one tensor."""
    count = len(chosen.rows)
    held = round(fraction * count)
    if count and fraction > 0 and not 0 < held < count:
        raise DataError(f"data.validation_fraction: the {count} data of {name} cannot be split so")
    if held:
        chosen = chosen[torch.randperm(count, generator=torch.Generator().manual_seed(seed))]
    both = load(name, chosen, chosen.classes)
    return (both[held:], both[:held]) if held else (both, None)


def _held_out(end: str, selection: Selection, training: Chosen, classes: int, seed: int, load: Load) -> Sample:
    """A data set that is held out; its classes and shape must match those of the training data at the same end."""
    name = f"data.validation.{end}"
    chosen = select(selection, seed)
    check_names(name, chosen.names, f"data.{end}", training.names)
    check_shape(name, chosen.labelled.shape, training.labelled.shape)
    return load(name, chosen, classes)


def _coupled(data: Data, transport: Transport, like: Tensor) -> Data:
    """The data with the coupling of a file, or the optimal one."""
    assert data.target is not None
    if transport.file is not None:
        return replace(data, coupling=read_coupling(transport.file, len(data.source), len(data.target)).to(like))
    labels = None
    if transport.label_cost:
        labels = transport.label_cost * (data.source.y[:, None] != data.target.y).to(like.dtype)
    return replace(data, coupling=optimal_coupling(data.source.x, data.target.x, labels).to(like))

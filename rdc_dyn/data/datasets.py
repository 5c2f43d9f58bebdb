"""`Data` from named data sets: what is selected, what is held out, where they move to, and what they must be."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rdc_dyn.data.coupling import optimal_coupling, read_coupling
from rdc_dyn.data.readers import DataRows, Labelled, listed
from rdc_dyn.data.samples import Data, Sample
from rdc_dyn.status import DataError


def check_sample(
    name: str,
    x: Float[Tensor, "N n"],
    y: Int[Tensor, "N"],
    classes: int,
    *,
    unit_interval: bool,
    rows: DataRows | None = None,
) -> None:
    """Raise a DataError that names the first value which would make J meaningless.

    `name` is what the user calls these data, and `rows` are their indices in the data set, None if they are all of it.
    `unit_interval` requires x in [0, 1], as a Bernoulli likelihood does.
    """
    if x.numel() == 0:
        raise DataError(f"{name}: no data left (check classes and limit)")

    def datum(i: int) -> str:
        return f"{name}: datum {i if rows is None else int(rows[i])}"

    at = _first(~torch.isfinite(x))
    if at is not None:
        i, j = at
        raise DataError(f"{datum(i)}, component {j} is {float(x[i, j])}; expected finite numbers")
    at = _first((x < 0) | (x > 1)) if unit_interval else None
    if at is not None:
        i, j = at
        grey = float(x.max()) <= 255.0 and float(x.min()) >= 0.0 and torch.equal(x, x.round())
        hint = ": divide by 255" if grey else ""
        raise DataError(
            f"{datum(i)}, component {j} is {float(x[i, j])}; a bernoulli likelihood needs values in [0, 1]{hint}"
        )
    at = _first((y < 0) | (y >= classes))
    if at is not None:
        raise DataError(f"{datum(at[0])} has label {int(y[at[0]])}; expected 0 to {classes - 1}")


def _first(wrong: Tensor) -> list[int] | None:
    """Index of the first true entry, or None."""
    if not bool(wrong.any()):
        return None
    found: list[int] = wrong.nonzero()[0].tolist()
    return found


#: What the sets are called: their keys in a scenario.
SOURCE, TARGET, HELD_OUT, HELD_OUT_TARGET = (
    "data.source",
    "data.target",
    "data.validation.source",
    "data.validation.target",
)


@dataclass(frozen=True)
class Selection:
    """Which data to take from a data set.

    Attributes:
        read: Reads the set as far as its labels.
        classes: Classes to keep, by label or by name, renumbered 0, 1, … in the order given; None for all.
        limit: Most data to keep, drawn at random; None for all.
        binarise: Inputs above this become 1 and all others 0; None keeps them.
    """

    read: Callable[[], Labelled]
    classes: tuple[int | str, ...] | None = None
    limit: int | None = None
    binarise: float | None = None


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
class Chosen:
    """Some data of a set, with inputs that are decoded on demand.

    Attributes:
        rows: Indices into the set.
        y: Labels after renumbering.
        names: Class names by label; empty if there are none.
        binarise: As in `Selection`.
    """

    labelled: Labelled
    rows: DataRows
    y: Int[Tensor, "n"]
    classes: int
    names: tuple[str, ...]
    binarise: float | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def x(self, dtype: torch.dtype) -> Tensor:
        """The inputs, flattened, on the CPU."""
        x = self.labelled.inputs(self.rows, dtype)
        if self.binarise is None:
            return x
        return torch.where(x.isfinite(), (x > self.binarise).to(dtype), x)  # what is no number is still to be found

    def __getitem__(self, order: DataRows) -> Chosen:
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
    return Chosen(labelled, rows, y, classes, names, selection.binarise)


def load_data(
    selections: Mapping[str, Selection],
    validation_fraction: float,
    seed: int,
    *,
    unit_interval: bool,
    like: Tensor,
    transport: Transport | None = None,
) -> Data:
    """Read all sets, hold data out, couple, check everything, and convert to the dtype and device of `like`.

    A share `validation_fraction` of the source and of the target is held out by independent splits, unless there are
    sets to use instead. Without a `transport` the data of source and target mix. DataError is raised for invalid data.
    """
    sets = {name: select(one, seed) for name, one in selections.items()}
    for _, wrong in disagreements(sets, validation_fraction):
        raise DataError(wrong)
    classes = max(each.classes for name, each in sets.items() if name in (SOURCE, TARGET))
    load = partial(load_sample, unit_interval=unit_interval, like=like)
    start, validation = _split(SOURCE, sets[SOURCE], validation_fraction, seed + 1, load)
    goal, goal_validation = None, None
    if TARGET in sets:
        goal, goal_validation = _split(TARGET, sets[TARGET], validation_fraction, seed + 2, load)
    if HELD_OUT in sets:
        validation = load(HELD_OUT, sets[HELD_OUT], classes)
    if HELD_OUT_TARGET in sets:
        goal_validation = load(HELD_OUT_TARGET, sets[HELD_OUT_TARGET], classes)
    shape = sets[SOURCE].labelled.shape
    data = Data(
        source=start,
        target=goal,
        validation=validation,
        classes=classes,
        target_validation=goal_validation,
        shape=shape if len(shape) == 3 else (),
    )
    return data if transport is None or goal is None else _coupled(data, transport, like)


def disagreements(sets: Mapping[str, Chosen], fraction: float) -> Iterator[tuple[str, str]]:
    """What is wrong with the sets and between them, each with the name of the set that it is about.

    `fraction` is the share of source and target that is held out.
    """
    training = {name: each for name, each in sets.items() if name in (SOURCE, TARGET)}
    for name, each in sets.items():
        if not len(each):
            yield name, f"{name}: no data left (check classes and limit)"
    for name, each in training.items():
        if fraction > 0 and not 0 < held_out_count(len(each), fraction) < len(each):
            yield name, f"data.validation_fraction: the {len(each)} data of {name} cannot be split so"
    source = sets[SOURCE]
    if TARGET in sets:
        target = sets[TARGET]
        yield from _other_shape(TARGET, target.labelled.shape, source.labelled.shape)
        if not bool(torch.isin(source.y, target.y).any()):
            of_target, of_source = (listed(each.y.unique().tolist()) for each in (target, source))
            yield (
                TARGET,
                (
                    f"data.target: has the labels {of_target} and data.source {of_source}, none in common; "
                    "name the classes of both, which renumbers them 0, 1, ... in the order given"
                ),
            )
    if max(each.classes for each in training.values()) < 2:
        yield SOURCE, "data.source: only one class; a classification loss needs at least two"
    for name, end in ((HELD_OUT, SOURCE), (HELD_OUT_TARGET, TARGET)):
        if name not in sets or end not in sets:
            continue
        names, expected = sets[name].names, sets[end].names
        if names and expected and names != expected:  # labels would mean something else
            classes = f"has the classes {listed(names)}, but {end} has {listed(expected)}"
            yield name, f"{name}: {classes}; name the same in both"
        yield from _other_shape(name, sets[name].labelled.shape, sets[end].labelled.shape)


def _other_shape(name: str, shape: tuple[int, ...], of_source: tuple[int, ...]) -> Iterator[tuple[str, str]]:
    """How one x of a set differs in shape from one of the source."""
    if prod(shape) != prod(of_source):
        yield name, f"{name}: {prod(shape)} components per datum, but data.source has {prod(of_source)}"
    elif shape != of_source:
        one, other = (" x ".join(map(str, each)) for each in (shape, of_source))
        yield name, f"{name}: x has the shape {one}, but that of data.source is {other}"


def held_out_count(count: int, fraction: float) -> int:
    """How many of some data are held out."""
    return round(fraction * count)


Load = Callable[[str, Chosen, int], Sample]


def load_sample(name: str, chosen: Chosen, classes: int, *, unit_interval: bool, like: Tensor) -> Sample:
    """Decode, check and move to the device of `like`; DataError where a value would make J meaningless."""
    x = chosen.x(like.dtype)
    check_sample(name, x, chosen.y, classes, unit_interval=unit_interval, rows=chosen.rows)
    return Sample(x.to(like), chosen.y.to(like.device))


def _split(name: str, chosen: Chosen, fraction: float, seed: int, load: Load) -> tuple[Sample, Sample | None]:
    """Training and held-out data, as slices of one tensor."""
    held = held_out_count(len(chosen), fraction)
    if held:
        chosen = chosen[torch.randperm(len(chosen), generator=torch.Generator().manual_seed(seed))]
    both = load(name, chosen, chosen.classes)
    return (both[held:], both[:held]) if held else (both, None)


def _coupled(data: Data, transport: Transport, like: Tensor) -> Data:
    """The data with the coupling of a file, or the optimal one."""
    assert data.target is not None
    if transport.file is not None:
        return replace(data, coupling=read_coupling(transport.file, len(data.source), len(data.target)).to(like))
    labels = None
    if transport.label_cost:
        labels = transport.label_cost * (data.source.y[:, None] != data.target.y).to(like.dtype)
    return replace(data, coupling=optimal_coupling(data.source.x, data.target.x, labels).to(like))

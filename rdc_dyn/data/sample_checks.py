"""Checks without which J would be meaningless: data are finite, in range, labelled, and consistent with each other."""

from __future__ import annotations

from math import prod

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rdc_dyn.data.readers import Rows, listed
from rdc_dyn.status import DataError


def check_sample(
    name: str,
    x: Float[Tensor, "N n"],
    y: Int[Tensor, "N"],
    classes: int,
    *,
    unit_interval: bool,
    rows: Rows | None = None,
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


def check_shape(name: str, shape: tuple[int, ...], of_source: tuple[int, ...]) -> None:
    """Raise a DataError if one x of these data and one x of the source differ in shape."""
    if prod(shape) != prod(of_source):
        raise DataError(f"{name}: {prod(shape)} components per datum, but data.source has {prod(of_source)}")
    if shape != of_source:
        one, other = (" x ".join(map(str, each)) for each in (shape, of_source))
        raise DataError(f"{name}: x has the shape {one}, but that of data.source is {other}")


def check_labels(source: Int[Tensor, "N"], target: Int[Tensor, "M"]) -> None:
    """Raise a DataError if the target has no class in common with the source."""
    if not bool(torch.isin(source, target).any()):
        of_target, of_source = (listed(labels.unique().tolist()) for labels in (target, source))
        raise DataError(
            f"data.target: has the labels {of_target} and data.source {of_source}, none in common; "
            "name the classes of both, which renumbers them 0, 1, ... in the order given"
        )


def check_names(name: str, names: tuple[str, ...], other: str, expected: tuple[str, ...]) -> None:
    """Raise a DataError if held-out data name their classes differently, so that their labels mean something else.

    Data whose classes have no names (an empty tuple) always pass.
    """
    if names and expected and names != expected:
        raise DataError(
            f"{name}: has the classes {listed(names)}, but {other} has {listed(expected)}; name the same in both"
        )

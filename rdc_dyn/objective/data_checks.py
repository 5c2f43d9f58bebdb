"""What data must be for J to mean anything: finite, in range, labelled, and alike where they stand side by side."""

from __future__ import annotations

from math import prod

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rdc_dyn.objective.readers import Rows, listed
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
    """Refuse data that would make J meaningless, naming the first offending value.

    Args:
        name: How the user calls these data.
        x: Inputs.
        y: Labels.
        classes: Number of classes.
        unit_interval: Whether x must lie in [0, 1], as a bernoulli likelihood needs.
        rows: Where the data stand in their set; None where they are the set.

    Raises:
        DataError: If there are no data, a value is not finite or out of range, or a label is not a class.
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
        raise DataError(f"{datum(i)}, component {j} is {float(x[i, j])}; a bernoulli likelihood needs values in [0, 1]")
    at = _first((y < 0) | (y >= classes))
    if at is not None:
        raise DataError(f"{datum(at[0])} has label {int(y[at[0]])}; expected 0 to {classes - 1}")


def _first(wrong: Tensor) -> list[int] | None:
    """Where the first true value stands."""
    if not bool(wrong.any()):
        return None
    found: list[int] = wrong.nonzero()[0].tolist()
    return found


def check_shape(name: str, shape: tuple[int, ...], of_source: tuple[int, ...]) -> None:
    """Refuse data whose x are of another shape than those of the source.

    Args:
        name: How the user calls these data.
        shape: Shape of one of their x.
        of_source: Shape of one x of the source.

    Raises:
        DataError: If they differ.
    """
    if prod(shape) != prod(of_source):
        raise DataError(f"{name}: {prod(shape)} components per datum, but data.source has {prod(of_source)}")
    if shape != of_source:
        one, other = (" x ".join(map(str, each)) for each in (shape, of_source))
        raise DataError(f"{name}: x has the shape {one}, but that of data.source is {other}")


def check_labels(source: Int[Tensor, "N"], target: Int[Tensor, "M"]) -> None:
    """Refuse a target that has no class in common with the source.

    Args:
        source: Labels at t = 0.
        target: Labels at t = 1.

    Raises:
        DataError: If that is so.
    """
    if not bool(torch.isin(source, target).any()):
        of_target, of_source = (listed(labels.unique().tolist()) for labels in (target, source))
        raise DataError(
            f"data.target: has the labels {of_target} and data.source {of_source}, none in common; "
            "name the classes of both, which renumbers them 0, 1, ... in the order given"
        )


def check_names(name: str, names: tuple[str, ...], other: str, expected: tuple[str, ...]) -> None:
    """Refuse held-out data whose classes have other names, so that their labels would mean something else.

    Args:
        name: How the user calls these data.
        names: Names of their classes; empty where they have none.
        other: How the user calls the data that they stand beside.
        expected: Names of the classes of those.

    Raises:
        DataError: If both have names that differ.
    """
    if names and expected and names != expected:
        raise DataError(
            f"{name}: has the classes {listed(names)}, but {other} has {listed(expected)}; name the same in both"
        )

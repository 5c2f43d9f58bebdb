"""p(x, y; t) = (1 − t) p_source + t p_target, as samples that stay on the device."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rdc_dyn.objective.base import Scalar
from rdc_dyn.status import DataError


@dataclass(frozen=True)
class Sample:
    """Data with labels.

    Attributes:
        x: Inputs, flattened, shape (N, n).
        y: Labels 0 … Y−1, shape (N,).
    """

    x: Float[Tensor, "N n"]
    y: Int[Tensor, "N"]

    def __len__(self) -> int:
        return self.x.shape[0]

    def digest(self) -> str:
        """SHA-256 of the values (as float64) and labels, independent of device and dtype."""
        content = hashlib.sha256()
        content.update(self.x.detach().cpu().double().contiguous().numpy().tobytes())
        content.update(self.y.cpu().contiguous().numpy().tobytes())
        return content.hexdigest()


def check_sample(name: str, x: Tensor, y: Tensor, classes: int, *, unit_interval: bool) -> None:
    """Refuse data that would make J meaningless, naming the first offending value.

    Args:
        name: How the user calls these data.
        x: Inputs, shape (N, n).
        y: Labels, shape (N,).
        classes: Number of classes.
        unit_interval: Whether x must lie in [0, 1], as a bernoulli likelihood needs.

    Raises:
        DataError: If there are no data, a value is not finite or out of range, or a label is not a class.
    """
    if x.shape[0] == 0 or x.numel() == 0:
        raise DataError(f"{name}: no data left (check classes and limit)")
    if x.shape[0] != y.shape[0]:
        raise DataError(f"{name}: {x.shape[0]} inputs but {y.shape[0]} labels")
    bad = (~torch.isfinite(x)).nonzero()
    if len(bad):
        i, j = bad[0].tolist()
        raise DataError(f"{name}: datum {i}, component {j} is {float(x[i, j])}; expected finite numbers")
    if unit_interval and bool(((x < 0) | (x > 1)).any()):
        i, j = ((x < 0) | (x > 1)).nonzero()[0].tolist()
        raise DataError(
            f"{name}: datum {i}, component {j} is {float(x[i, j])}; a bernoulli likelihood needs values in [0, 1]"
        )
    wrong = ((y < 0) | (y >= classes)).nonzero()
    if len(wrong):
        i = int(wrong[0])
        raise DataError(f"{name}: datum {i} has label {int(y[i])}; expected 0 to {classes - 1}")


@dataclass(frozen=True)
class Data:
    """The data that J averages over.

    Attributes:
        source: Training data at t = 0.
        target: Training data at t = 1, or None where the data do not move.
        validation: Held-out data of the source, never seen by the dynamics.
        classes: Number of classes Y.
    """

    source: Sample
    target: Sample | None
    validation: Sample | None
    classes: int

    @property
    def x_dim(self) -> int:
        """Components n of one x."""
        return self.source.x.shape[1]

    def mix(self, average: Callable[[Sample], Tensor], data_position: Scalar) -> Tensor:
        """(1 − t) f(source) + t f(target), the average of f over the mixture."""
        value = average(self.source)
        if self.target is None:
            return value
        return value + data_position * (average(self.target) - value)

    def digest(self) -> str:
        """SHA-256 over all samples."""
        parts = [s.digest() for s in (self.source, self.target, self.validation) if s is not None]
        return hashlib.sha256("".join(parts).encode()).hexdigest()

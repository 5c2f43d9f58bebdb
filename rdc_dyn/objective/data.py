"""p(x, y; t): the mixture (1 − t) p_source + t p_target, or the points that a coupling moves; samples on the device."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rdc_dyn.objective.base import Scalar
from rdc_dyn.objective.coupling import Coupling
from rdc_dyn.status import DataError

#: Which data a sample holds: those of one end, or the pairs on their way between them.
Part = Literal["source", "target", "pairs"]


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

    def mean(self, values: Float[Tensor, "N"]) -> Scalar:
        """The average over the data."""
        return values.mean()

    def labelled(self, f: Callable[[Int[Tensor, "N"]], Tensor]) -> Tensor:
        """f of the labels, such as log c(y|z)."""
        return f(self.y)

    def digest(self) -> str:
        """SHA-256 of the values (as float64) and labels, independent of device and dtype."""
        content = hashlib.sha256()
        content.update(self.x.detach().cpu().double().contiguous().numpy().tobytes())
        content.update(self.y.cpu().contiguous().numpy().tobytes())
        return content.hexdigest()


@dataclass(frozen=True)
class Displaced(Sample):
    """x_t = (1 − t) x_i + t x'_j with weight Γ_ij, and a label between y_i and y'_j.

    A label cannot move, so what depends on it is mixed: log c(y|z) becomes (1 − t) log c(y_i|z) + t log c(y'_j|z). For
    the Gibbs encoder this happens inside the Hamiltonian (11): one encoder e(z|x_t) minimises R + λD + γC of the pair
    with C the mixed loss, −H = log m + λ log d(x_t|z) + γ [(1 − t) log c(y_i|z) + t log c(y'_j|z)].

    Attributes:
        weights: Γ_ij, which sum to one, shape (N,).
        goal: Labels y'_j, shape (N,).
        position: t.
    """

    weights: Float[Tensor, "N"]
    goal: Int[Tensor, "N"]
    position: Scalar

    def mean(self, values: Float[Tensor, "N"]) -> Scalar:
        """Σ Γ_ij f_ij."""
        return self.weights @ values

    def labelled(self, f: Callable[[Int[Tensor, "N"]], Tensor]) -> Tensor:
        """(1 − t) f(y) + t f(y')."""
        return (1 - self.position) * f(self.y) + self.position * f(self.goal)


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
        coupling: Which datum of the source becomes which of the target (optimal transport); None for the mixture.
    """

    source: Sample
    target: Sample | None
    validation: Sample | None
    classes: int
    coupling: Coupling | None = None

    @property
    def x_dim(self) -> int:
        """Components n of one x."""
        return self.source.x.shape[1]

    def expectation(self, f: Callable[[Part, Sample], Tensor], data_position: Scalar) -> Tensor:
        """E f over p(x, y; t): (1 − t) f(source) + t f(target) for the mixture, f(pairs at t) for a coupling.

        Args:
            f: Average over a sample; it is also told which one that is.
            data_position: t.

        Returns:
            The expectation, differentiable in t.
        """
        if self.coupling is not None:
            return f("pairs", self.displaced(data_position))
        value = f("source", self.source)
        if self.target is None:
            return value
        return value + data_position * (f("target", self.target) - value)

    def displaced(self, data_position: Scalar) -> Displaced:
        """The pairs of the coupling at t."""
        assert self.coupling is not None
        (x, x_goal), (y, y_goal) = self._pairs
        moved = (1 - data_position) * x + data_position * x_goal  # exact at both ends
        return Displaced(moved, y, self.coupling.weights, y_goal, data_position)

    @cached_property
    def _pairs(self) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        assert self.coupling is not None and self.target is not None
        i, j = self.coupling.source, self.coupling.target
        return (self.source.x[i], self.target.x[j]), (self.source.y[i], self.target.y[j])

    def digest(self) -> str:
        """SHA-256 over all samples."""
        parts = [s.digest() for s in (self.source, self.target, self.validation) if s is not None]
        return hashlib.sha256("".join(parts).encode()).hexdigest()

"""p(x, y; t): the mixture (1 − t) p_source + t p_target, or the points that a coupling moves; samples on the device."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rdc_dyn.objective.base import Scalar
from rdc_dyn.objective.coupling import Coupling

#: Which data a sample holds: those of one end, or the pairs on their way between them.
Part = Literal["source", "target", "pairs"]
#: Numbers that are hashed at once, in float64.
_HASHED = 2**20


@dataclass(frozen=True)
class Block:
    """Some of the data of one part, and what stands for what in an average over all of it.

    Attributes:
        part: Which data.
        rows: Which of them; a slice is a view, an index a copy.
        count: How many.
        share: What their mean weighs in the average over the part: count/N in a partition of N data; count/n in a
            minibatch of n.
        noise: Noise drawn for these data alone, where J averages over it; None takes what the objective has frozen.
    """

    part: Part
    rows: slice | Int[Tensor, "n"]
    count: int
    share: float
    noise: Tensor | None = None

    def split(self, size: int) -> tuple[Block, ...]:
        """The same data in blocks of at most `size`."""
        if self.count <= size:
            return (self,)
        return tuple(self._cut(start, min(start + size, self.count)) for start in range(0, self.count, size))

    def piece(self, number: int, of: int) -> Block:
        """One of so many nearly equal pieces, numbered from 0; empty where there are fewer data than pieces."""
        return self._cut(number * self.count // of, (number + 1) * self.count // of)

    def _cut(self, start: int, end: int) -> Block:
        if isinstance(self.rows, slice):
            rows: slice | Tensor = slice(self.rows.start + start, self.rows.start + end)
        else:
            rows = self.rows[start:end]
        return replace(self, rows=rows, count=end - start, share=self.share * (end - start) / self.count)


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

    def __getitem__(self, rows: slice | Int[Tensor, "n"]) -> Sample:
        return Sample(self.x[rows], self.y[rows])

    def mean(self, values: Float[Tensor, "N"]) -> Scalar:
        """The average over the data."""
        return values.mean()

    def labelled(self, f: Callable[[Int[Tensor, "N"]], Tensor]) -> Tensor:
        """f of the labels, such as log c(y|z)."""
        return f(self.y)

    def digest(self) -> str:
        """SHA-256 of the values (as float64) and labels, independent of device and dtype."""
        content = hashlib.sha256()
        for rows in self.x.detach().split(max(_HASHED // max(self.x.shape[1], 1), 1)):
            content.update(rows.cpu().double().contiguous().numpy().tobytes())
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


@dataclass(frozen=True)
class Data:
    """The data that J averages over.

    Attributes:
        source: Training data at t = 0.
        target: Training data at t = 1, or None where the data do not move.
        validation: Held-out data of the source, never seen by the dynamics.
        classes: Number of classes Y.
        coupling: Which datum of the source becomes which of the target (optimal transport); None for the mixture.
        target_validation: Held-out data of the target; None where there is no target, or nothing is held out of it.
        shape: Shape of one x before it was flattened, channel first, such as (3, 32, 32); empty where it has none.
    """

    source: Sample
    target: Sample | None
    validation: Sample | None
    classes: int
    coupling: Coupling | None = None
    target_validation: Sample | None = None
    shape: tuple[int, ...] = ()

    @property
    def x_dim(self) -> int:
        """Components n of one x."""
        return self.source.x.shape[1]

    @cached_property
    def held_out(self) -> Data | None:
        """The held-out data, which have no coupling: between their ends they mix, whatever the training data do."""
        if self.validation is None:
            return None
        return Data(self.validation, self.target_validation, None, self.classes, shape=self.shape)

    @cached_property
    def parts(self) -> dict[Part, int]:
        """The parts that J averages over, with their numbers of data."""
        if self.coupling is not None:
            return {"pairs": len(self.coupling.weights)}
        ends: dict[Part, int] = {"source": len(self.source)}
        return ends if self.target is None else ends | {"target": len(self.target)}

    def blocks(self, size: int | None = None) -> tuple[Block, ...]:
        """A partition of the data: J is the sum of the shares of its blocks.

        Args:
            size: Most data in a block; None makes one block of each part.

        Returns:
            The blocks, in the order of the data.
        """
        whole = (Block(part, slice(0, count), count, 1.0) for part, count in self.parts.items())
        return tuple(piece for block in whole for piece in block.split(size or block.count))

    def minibatch(self, size: int, generator: torch.Generator) -> tuple[Block, ...]:
        """Data drawn without replacement, the same number of each part: the sum of their shares has the mean J.

        Args:
            size: Data of each part; all of a smaller part.
            generator: On the CPU.

        Returns:
            One block of each part.
        """
        found = []
        for part, count in self.parts.items():
            rows = torch.randperm(count, generator=generator)[:size].sort().values
            found.append(Block(part, rows.to(self.source.x.device), len(rows), 1.0))
        return tuple(found)

    def epoch(self, size: int, generator: torch.Generator) -> Iterator[tuple[Block, ...]]:
        """All data once in a new order, as minibatches without replacement.

        Args:
            size: Data of the largest part in a minibatch; of a smaller part there are fewer, so that both last as long.
            generator: On the CPU.

        Yields:
            One block of each part.
        """
        number = self.updates(size)
        orders = {
            part: torch.randperm(n, generator=generator).to(self.source.y.device) for part, n in self.parts.items()
        }
        for k in range(number):
            pieces = {
                part: order[k * len(order) // number : (k + 1) * len(order) // number] for part, order in orders.items()
            }
            yield tuple(Block(part, rows, len(rows), 1.0) for part, rows in pieces.items())

    def updates(self, size: int) -> int:
        """Minibatches in an epoch."""
        return math.ceil(max(self.parts.values()) / size)

    def sample(self, block: Block, data_position: Scalar) -> Sample:
        """The data of a block, pairs at t."""
        if block.part == "pairs":
            return self.displaced(data_position, block.rows)
        sample = self.source if block.part == "source" else self.target
        assert sample is not None
        return sample[block.rows]

    def weights(self, block: Block, data_position: Scalar) -> Float[Tensor, "n"]:
        """What each datum of a block weighs in E f over p(x, y; t)."""
        if block.part == "pairs":
            assert self.coupling is not None
            return self.coupling.weights[block.rows] * (block.share * self.parts["pairs"] / block.count)
        return self._weighted(
            block.part, self.source.x.new_full((block.count,), block.share / block.count), data_position
        )

    def share(self, block: Block, f: Callable[[Block, Sample], Tensor], data_position: Scalar) -> Tensor:
        """What a block adds to E f over p(x, y; t): weights 1 − t and t for the ends of a mixture, Γ for pairs.

        Args:
            block: Some of the data.
            f: Average over a sample; it is also told which one that is.
            data_position: t.

        Returns:
            The contribution, differentiable in t.
        """
        return self._weighted(block.part, self._within(block, f, data_position), data_position)

    def averages(
        self, f: Callable[[Block, Sample], Tensor], data_position: Scalar, size: int | None = None
    ) -> dict[Part, Tensor]:
        """E f over each part by itself, the pairs at t.

        Args:
            f: Average over a sample; it is also told which one that is.
            data_position: t.
            size: Data that f is given at once; None for all of a part.

        Returns:
            The average over each part.
        """
        found: dict[Part, Tensor] = {}
        for block in self.blocks(size):
            value = self._within(block, f, data_position)
            found[block.part] = found[block.part] + value if block.part in found else value
        return found

    def expectation(self, averages: dict[Part, Tensor], data_position: Scalar) -> Tensor:
        """E f over p(x, y; t): (1 − t) f(source) + t f(target) for the mixture, f(pairs at t) for a coupling.

        Args:
            averages: Of f over each part.
            data_position: t.

        Returns:
            The expectation, differentiable in t.
        """
        first, *others = (self._weighted(part, value, data_position) for part, value in averages.items())
        return first if not others else first + others[0]

    def _within(self, block: Block, f: Callable[[Block, Sample], Tensor], data_position: Scalar) -> Tensor:
        """What a block adds to the average of f over its part."""
        if block.part == "pairs":
            # The weights of a part of the pairs sum to their share already, those of a minibatch to n/N of it.
            scale = block.share * self.parts["pairs"] / block.count
            return scale * f(block, self.sample(block, data_position))
        return block.share * f(block, self.sample(block, data_position))

    def _weighted(self, part: Part, value: Tensor, data_position: Scalar) -> Tensor:
        """A part's share of the expectation at t."""
        if part == "pairs" or self.target is None:
            return value
        return (data_position if part == "target" else 1 - data_position) * value

    def displaced(self, data_position: Scalar, rows: slice | Int[Tensor, "n"] = slice(None)) -> Displaced:
        """The pairs of the coupling at t, or some of them."""
        assert self.coupling is not None
        (x, x_goal), (y, y_goal) = self._pairs
        x, x_goal = x[rows], x_goal[rows]
        moved = (1 - data_position) * x + data_position * x_goal  # exact at both ends
        return Displaced(moved, y[rows], self.coupling.weights[rows], y_goal[rows], data_position)

    @cached_property
    def _pairs(self) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        assert self.coupling is not None and self.target is not None
        i, j = self.coupling.source, self.coupling.target
        return (self.source.x[i], self.target.x[j]), (self.source.y[i], self.target.y[j])

    def digest(self) -> str:
        """SHA-256 over all samples."""
        samples = (self.source, self.target, self.validation, self.target_validation)
        parts = [sample.digest() for sample in samples if sample is not None]
        return hashlib.sha256("".join(parts).encode()).hexdigest()

"""p(x, y; t): the mixture (1 − t) p_source + t p_target, or pairs of a coupling that move from source to target."""

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

from rdc_dyn.data.coupling import Coupling
from rdc_dyn.linalg.base import Scalar

#: Which data a sample holds: those of one end, or pairs on their way from source to target.
Part = Literal["source", "target", "pairs"]
#: Number of values that are hashed at a time, in float64.
_HASHED = 2**20


@dataclass(frozen=True)
class Block:
    """Some of the data of one part, with their weight in the average over that part.

    Attributes:
        rows: Indices into the part; a slice gives a view, an index tensor a copy.
        share: Weight of the block's mean in the average over the part: count/N in a partition of N data, count/n in a
            minibatch of n.
        noise: Noise drawn for these data alone if J averages over noise; None uses the objective's frozen noise.
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
        """Piece `number`, from 0, of `of` nearly equal pieces; some are empty if there are fewer data than pieces."""
        return self._cut(number * self.count // of, (number + 1) * self.count // of)

    def _cut(self, start: int, end: int) -> Block:
        if isinstance(self.rows, slice):
            rows: slice | Tensor = slice(self.rows.start + start, self.rows.start + end)
        else:
            rows = self.rows[start:end]
        return replace(self, rows=rows, count=end - start, share=self.share * (end - start) / self.count)


@dataclass(frozen=True)
class Sample:
    """Flattened inputs x with labels y in 0 … Y−1."""

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
        """f(y) for a function of the labels, such as log c(y|z)."""
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
    """x_t = (1 − t) x_i + t x'_j with weight Γ_ij, and both labels y_i and y'_j.

    A label cannot move, so functions of it are mixed: log c(y|z) becomes (1 − t) log c(y_i|z) + t log c(y'_j|z). For
    the Gibbs encoder the mixing takes place inside the Hamiltonian (11): one encoder e(z|x_t) minimises R + λD + γC of
    the pair with the mixed loss C, so −H = log m + λ log d(x_t|z) + γ [(1 − t) log c(y_i|z) + t log c(y'_j|z)].

    Attributes:
        weights: Γ_ij, which sum to one over all pairs.
        goal: Labels y'_j.
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
        target: Training data at t = 1, or None if the data do not move.
        validation: Held-out data of the source, never seen by the dynamics.
        classes: Number of classes Y.
        coupling: Pairs of source and target data (optimal transport); None for the mixture.
        target_validation: Held-out data of the target.
        shape: Shape of one x before flattening, channels first, such as (3, 32, 32); empty if there is none.
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
        """Dimension n of x."""
        return self.source.x.shape[1]

    @cached_property
    def held_out(self) -> Data | None:
        """The held-out data, which have no coupling: they form a mixture even if the training data are coupled."""
        if self.validation is None:
            return None
        return Data(self.validation, self.target_validation, None, self.classes, shape=self.shape)

    @cached_property
    def parts(self) -> dict[Part, int]:
        """Number of data in each part that J averages over."""
        if self.coupling is not None:
            return {"pairs": len(self.coupling.weights)}
        ends: dict[Part, int] = {"source": len(self.source)}
        return ends if self.target is None else ends | {"target": len(self.target)}

    def blocks(self, size: int | None = None) -> tuple[Block, ...]:
        """A partition into blocks of at most `size` data, in order; None makes one block of each part."""
        whole = (Block(part, slice(0, count), count, 1.0) for part, count in self.parts.items())
        return tuple(piece for block in whole for piece in block.split(size or block.count))

    def minibatch(self, size: int, generator: torch.Generator) -> tuple[Block, ...]:
        """One block of each part with `size` data drawn without replacement, or all data of a smaller part.

        The sum of their contributions is an unbiased estimate of J. The generator is on the CPU.
        """
        found = []
        for part, count in self.parts.items():
            rows = torch.randperm(count, generator=generator)[:size].sort().values
            found.append(Block(part, rows.to(self.source.x.device), len(rows), 1.0))
        return tuple(found)

    def epoch(self, size: int, generator: torch.Generator) -> Iterator[tuple[Block, ...]]:
        """All data once, in random order, as minibatches without replacement with one block of each part.

        `size` is the number of data of the largest part in a minibatch; smaller parts contribute fewer, so that all
        last equally long. The generator is on the CPU.
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
        """Number of minibatches in an epoch."""
        return math.ceil(max(self.parts.values()) / size)

    def sample(self, block: Block, data_position: Scalar) -> Sample:
        """The data of a block; pairs are at t."""
        if block.part == "pairs":
            return self.displaced(data_position, block.rows)
        sample = self.source if block.part == "source" else self.target
        assert sample is not None
        return sample[block.rows]

    def weights(self, block: Block, data_position: Scalar) -> Float[Tensor, "n"]:
        """Weight of each datum of a block in E f over p(x, y; t)."""
        if block.part == "pairs":
            assert self.coupling is not None
            return self.coupling.weights[block.rows] * (block.share * self.parts["pairs"] / block.count)
        return self._weighted(
            block.part, self.source.x.new_full((block.count,), block.share / block.count), data_position
        )

    def share(self, block: Block, f: Callable[[Block, Sample], Tensor], data_position: Scalar) -> Tensor:
        """Contribution of a block to E f over p(x, y; t): weights 1 − t and t for the ends of a mixture, Γ for pairs.

        `f` averages over a sample and also receives the block, which says what the sample holds.
        """
        return self._weighted(block.part, self._within(block, f, data_position), data_position)

    def averages(
        self, f: Callable[[Block, Sample], Tensor], data_position: Scalar, size: int | None = None
    ) -> dict[Part, Tensor]:
        """E f over each part separately, with pairs at t; `f` sees at most `size` data at a time, None for no limit."""
        found: dict[Part, Tensor] = {}
        for block in self.blocks(size):
            value = self._within(block, f, data_position)
            found[block.part] = found[block.part] + value if block.part in found else value
        return found

    def expectation(self, averages: dict[Part, Tensor], data_position: Scalar) -> Tensor:
        """E f over p(x, y; t) from the averages over the parts: (1 − t) f(source) + t f(target), or f(pairs at t)."""
        first, *others = (self._weighted(part, value, data_position) for part, value in averages.items())
        return first if not others else first + others[0]

    def _within(self, block: Block, f: Callable[[Block, Sample], Tensor], data_position: Scalar) -> Tensor:
        """Contribution of a block to the average of f over its part."""
        if block.part == "pairs":
            # In a partition the weights Γ of a block already include its share, so only a minibatch is rescaled.
            scale = block.share * self.parts["pairs"] / block.count
            return scale * f(block, self.sample(block, data_position))
        return block.share * f(block, self.sample(block, data_position))

    def _weighted(self, part: Part, value: Tensor, data_position: Scalar) -> Tensor:
        """Contribution of a part with the given average to the expectation at t."""
        if part == "pairs" or self.target is None:
            return value
        return (data_position if part == "target" else 1 - data_position) * value

    def weighs(self, part: Part, data_position: Scalar) -> bool:
        """Whether a part has any weight at t."""
        return bool(self._weighted(part, torch.ones_like(data_position), data_position) != 0)

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

"""θ ← θ − η P (m_J + Σ u m_u): updates by minibatches that hold functionals, and averages over whole epochs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from rdc_dyn.dynamics.corrector import Constraint, Memory
from rdc_dyn.dynamics.dual import Controlled, DualRule, Plant
from rdc_dyn.linalg.base import Rows, Vector
from rdc_dyn.objective.base import PerDatum
from rdc_dyn.objective.data import Block
from rdc_dyn.objective.free_energy import FreeEnergy
from rdc_dyn.objective.graph import Controls

#: Adam's averages of gradients and of their squares, and its ε (Kingma & Ba 2015).
_FIRST, _SECOND, _EPSILON = 0.9, 0.999, 1e-8
#: Share by which the average of the plant's gain follows one update.
_GAIN = 1e-2
#: Share by which what noise adds follows one epoch.
_BIAS = 0.4
#: Cost of each further backward pass through a graph, as a share of a gradient's.
_BACKWARD = 0.4


@dataclass(frozen=True)
class Average:
    """Averages over the updates of whole epochs.

    Attributes:
        theta: Mean iterate θ̄, shape (P,).
        controls: Mean controls.
        readings: Metered (R, D, C) at each update, shape (n, 3).
        epochs: How many.
        mean_square: Mean |∇J_B|² over the minibatches.
        square_mean: |mean ∇J_B|².
    """

    theta: Vector
    controls: Controls
    readings: Float[Tensor, "n 3"]
    epochs: int
    mean_square: float
    square_mean: float

    @property
    def reading(self) -> Float[Tensor, "3"]:
        """Mean reading of (R, D, C)."""
        return self.readings.mean(0)

    @property
    def drift(self) -> Float[Tensor, "3"]:
        """What (R, D, C) change by in an epoch, along straight lines through the readings; nat."""
        return _slope(self.readings)[0] / self.epochs

    @property
    def loss(self) -> tuple[float, float]:
        """J that an epoch loses at the mean controls, and the standard error of that; nat."""
        slope, error = _slope(self.readings @ torch.cat([self.controls.new_ones(1), self.controls[:2]]))
        return -float(slope) / self.epochs, float(error) / self.epochs

    @property
    def gradient_noise(self) -> float:
        """|noise| of the mean of as many independent gradients as an epoch has minibatches: σ_g/√N."""
        minibatches = len(self.readings) / self.epochs
        return float(max(self.mean_square - self.square_mean, 0.0) / minibatches) ** 0.5


def _slope(readings: Float[Tensor, "n *k"]) -> tuple[Tensor, Tensor]:
    """By what readings change along a straight line through them, and its standard error."""
    n = len(readings)
    clock = torch.arange(n, dtype=readings.dtype, device=readings.device) - 0.5 * (n - 1)
    square = clock.square().sum().clamp_min(1.0)
    slope = clock @ readings / square
    scatter = (readings - readings.mean(0) - torch.tensordot(clock, slope, 0)).square().sum(0) / max(n - 2, 1)
    return n * slope, n * (scatter / square).sqrt()


@dataclass(frozen=True)
class Mixture:
    """The functionals whose gradients an update keeps apart, so that no stale multiplier is in a momentum.

    The rows are what no free multiplier multiplies, R with λD or γC where λ or γ does not move, and D, C, or both.

    Attributes:
        moving: Places among (R, D, C) of the rows after the first.
    """

    moving: tuple[int, ...]

    @classmethod
    def of(cls, constraint: Constraint | None) -> Mixture:
        """The fewest rows: one where nothing is held, two where γ holds C, three else."""
        if constraint is None:
            return cls(())
        touched = constraint.directions[:, :2].abs().sum(0) + constraint.weights[:, 1:].abs().sum(0)
        everything = bool((constraint.weights[:, 0] != 0).any())
        return cls(tuple(i for i in (1, 2) if everything or bool(touched[i - 1] > 0)))

    def __len__(self) -> int:
        return 1 + len(self.moving)

    @property
    def multipliers(self) -> list[int]:
        """Places among (λ, γ, t) of the multipliers that move."""
        return [i - 1 for i in self.moving]

    def values(self, functionals: Sequence[Tensor], controls: Controls) -> list[Tensor]:
        """The rows of (R, D, C) at given multipliers, without what a row does not hold."""
        base = functionals[0]
        for i in (1, 2):
            if i not in self.moving:
                base = base + controls[i - 1] * functionals[i]
        return [base, *(functionals[i] for i in self.moving)]

    def of_weights(self, weights: Float[Tensor, "m 3"]) -> Float[Tensor, "m k"]:
        """w·(R, D, C) in terms of the rows; the first is R alone wherever a weight asks for it."""
        return torch.cat([weights[:, :1], weights[:, list(self.moving)]], dim=1)

    def of_directions(self, directions: Float[Tensor, "m 3"]) -> Float[Tensor, "m k"]:
        """What a direction in (λ, γ, t) multiplies, in terms of the rows."""
        return torch.cat([directions.new_zeros((len(directions), 1)), directions[:, self.multipliers]], dim=1)

    def of_controls(self, controls: Controls) -> Float[Tensor, "k"]:
        """J at some multipliers in terms of the rows."""
        return torch.cat([controls.new_ones(1), controls[self.multipliers]])


class Descent:
    """A correction in progress: θ, the multipliers, the meter and Adam's averages.

    Args:
        free_energy: J, whose objective knows R, D and C of each datum.
        theta: θ where it begins.
        controls: (λ, γ, t) where it begins.
        constraint: What is held, or None.
        rule: Moves the free multipliers.
        memory: Of the point where the step began, or None at the start of a path.
        batch: Data of the largest part in a minibatch.
        draws: Source of the minibatches.

    Attributes:
        theta: θ.
        bias: What noise adds to (R, D, C) of the moving iterate, per unit of η; shape (3,).
        taken: Updates so far.
        size: Of what is held: |h⁰|, or of a difference what it changes by as its multipliers double; shape (m,).
    """

    def __init__(
        self,
        free_energy: FreeEnergy,
        theta: Vector,
        controls: Controls,
        constraint: Constraint | None,
        rule: DualRule,
        memory: Memory | None,
        batch: int,
        draws: torch.Generator,
    ) -> None:
        assert isinstance(free_energy.objective, PerDatum)
        self._objective, self._work = free_energy.objective, free_energy.work
        self.theta, self._base, self._constraint = theta.clone(), controls, constraint
        self._rule, self._batch, self._draws = rule, batch, draws
        self._mixture = Mixture.of(constraint)
        self._momenta, self.taken = theta.new_zeros((len(self._mixture), theta.numel())), 0
        self._scaled = torch.zeros_like(self._momenta)
        m = 0 if constraint is None else len(constraint.values)
        self._dual = Controlled(*(controls.new_zeros(m) for _ in range(3)))
        if memory is None:
            losses = per_datum(free_energy, theta, controls)
            memory = Memory(losses, torch.zeros_like(theta), controls.new_zeros((0, 0)), controls.new_zeros(3), 0)
        self._losses, self._squares, self._updates = memory.losses.clone(), memory.squares.clone(), memory.updates
        self._gain = memory.gain.clone() if m and memory.gain.shape == (m, m) else None
        self.bias, self._fixed = memory.bias, False
        counts = list(self._objective.data.parts.items())
        self._offsets = {part: sum(n for _, n in counts[:i]) for i, (part, _) in enumerate(counts)}
        self._at(controls[2])
        self.size = controls.new_zeros(0) if constraint is None else _size(constraint, controls)

    def _at(self, data_position: Tensor) -> None:
        """The table of losses weighted as the data are at t."""
        self._weights = data_weights(self._objective, data_position)
        self._total = self._weights @ self._losses

    @property
    def length(self) -> int:
        """Updates of an epoch."""
        return self._objective.data.updates(self._batch)

    @property
    def memory(self) -> Memory:
        """What the next correction may know."""
        gain = self._base.new_zeros((0, 0)) if self._gain is None else self._gain
        return Memory(self._losses, self._squares, gain, self.bias, self._updates)

    def learn_bias(self, seen: Float[Tensor, "3"], rate: float) -> None:
        """What noise adds, by another epoch at some η: a mean of the last few, for each has an error of its own."""
        share = _BIAS if bool(self.bias.any()) else 1.0
        self.bias = self.bias + share * (seen / rate - self.bias)

    @property
    def _preconditioner(self) -> Vector:
        """P, the diagonal of Adam's metric."""
        return torch.rsqrt(self._squares / (1 - _SECOND**self._updates) + _EPSILON**2)

    @property
    def controls(self) -> Controls:
        """(λ, γ, t) of the next update."""
        if self._constraint is None:
            return self._base
        moved = self._base + self._dual.used @ self._constraint.directions
        return torch.cat([moved[:2].clamp_min(0.0), moved[2:]])

    def fix(self, controls: Controls) -> None:
        """The multipliers stay there from now on."""
        self._base, self._fixed = controls, True
        self._dual = Controlled(*(torch.zeros_like(self._dual.amount) for _ in range(3)))

    def average(
        self, epochs: int, rate: float, last: float | None = None, base: tuple[Controls, Controls] | None = None
    ) -> Average:
        """Whole epochs; no feedback where the data move: what θ has yet to learn is no fault of the multipliers.

        Args:
            epochs: How many.
            rate: η.
            last: η at their end, to which it falls geometrically; None keeps it.
            base: Controls at their beginning and end, between which they go in a straight line; None keeps them.

        Returns:
            Averages over them.
        """
        n, k, theta = epochs * self.length, 0, torch.zeros_like(self.theta)
        controls, readings = torch.zeros_like(self._base), self._base.new_zeros((n, 3))
        gradients, square = torch.zeros_like(self._momenta), self._base.new_zeros(())
        moves = base is not None and bool(base[0][2] != base[1][2])
        self._fixed = self._fixed or (moves and self._rule.arrives)
        for _ in range(epochs):
            for blocks in self._objective.data.epoch(self._batch, self._draws):
                done = (k + 1) / n
                if base is not None:
                    self._base = base[0] + done * (base[1] - base[0])
                if moves:
                    self._at(self._base[2])
                now = rate if last is None else rate * (last / rate) ** done
                age = (k % self.length) / self.length
                readings[k], rows, used = self._update(blocks, now, age, feeds_back=not self._fixed)
                gradients.add_(rows, alpha=1 / n)
                square += (self._mixture.of_controls(used) @ rows).square().sum() / n
                theta.add_(self.theta, alpha=1 / n)
                controls, k = controls + used / n, k + 1
        mean = self._mixture.of_controls(controls) @ gradients
        return Average(theta, controls, readings, epochs, float(square), float(mean.square().sum()))

    def _update(
        self, blocks: tuple[Block, ...], rate: float, done: float, *, feeds_back: bool
    ) -> tuple[Tensor, Rows, Controls]:
        """One step of θ and one of the multipliers; the reading, the gradients and the controls that were used."""
        controls, leaf = self.controls, self.theta.requires_grad_()
        blocks = tuple(self._objective.drawn(block, self._draws) for block in blocks)
        with torch.enable_grad():
            found = zip(*(self._objective.functionals(b, leaf, *controls.unbind()) for b in blocks))
            columns = [parts[0] if len(parts) == 1 else torch.cat(parts) for parts in found]
            weights = torch.cat([self._objective.data.weights(b, controls[2]) for b in blocks])
            values = self._mixture.values([weights @ column for column in columns], controls)
            rows = torch.stack([torch.autograd.grad(v, leaf, retain_graph=True)[0] for v in values])
        each = torch.stack([column.detach() for column in columns], dim=1)
        self.theta = leaf.detach()
        rows[0].add_(self.theta, alpha=self._objective.weight_prior_precision)
        self._count(blocks)
        reading = self._meter(blocks, weights, each, done)
        self._move(rows, controls, rate)
        if feeds_back:
            self._control(reading - rate * self.bias if self._rule.metered else weights @ each, rate)
        return reading, rows, controls

    def _count(self, blocks: tuple[Block, ...]) -> None:
        share = sum(b.count for b in blocks) / len(self._weights)
        self._work.gradient_evaluations += share * (1 + _BACKWARD * (len(self._mixture) - 1))
        self._updates += 1
        self.taken += 1

    def _meter(
        self, blocks: tuple[Block, ...], weights: Tensor, each: Float[Tensor, "n 3"], done: float
    ) -> Float[Tensor, "3"]:
        """(R, D, C) of all data by those of a minibatch, with the table of losses as control variate.

        SAGA's reading, the table's mean and the minibatch's mean change, is unbiased for draws with replacement. Within
        an epoch the minibatch comes from data that were not seen for 1/2 + f epochs on average, with f the part that is
        done; a part f of the table is younger. For losses that drift evenly the table lacks f²/2 + (1 − f)(f + 1/2)
        epochs, so this share of the change is taken; all of it would make the reading drift twice as fast.

        Args:
            blocks: The minibatch.
            weights: Of its data in it.
            each: Their (R, D, C).
            done: f.

        Returns:
            The reading.
        """
        places = torch.cat([b.rows + self._offsets[b.part] for b in blocks if isinstance(b.rows, Tensor)])
        change = each - self._losses[places]
        lacking = (0.5 * done**2 + (1 - done) * (done + 0.5)) / (done + 0.5)
        reading = self._total + lacking * (weights @ change)
        self._total = self._total + self._weights[places] @ change
        self._losses[places] = each
        return reading

    def _move(self, rows: Rows, controls: Controls, rate: float) -> None:
        """θ ← θ − η P m, with the momenta of what the multipliers multiply kept apart."""
        mixed = self._mixture.of_controls(controls)
        gradient = mixed @ rows
        self._squares.mul_(_SECOND).addcmul_(gradient, gradient, value=1 - _SECOND)
        if self._constraint is not None and self.taken > 1:
            self._observe(rows)
        self._momenta.lerp_(rows, 1 - _FIRST)
        self._scaled = self._momenta * self._preconditioner
        self.theta = self.theta.add((mixed @ self._scaled), alpha=-rate / (1 - _FIRST**self.taken))

    def _observe(self, rows: Rows) -> None:
        """The average of the plant's gain m_hᵀ P g_u; momenta of the updates before share no noise with this one."""
        assert self._constraint is not None
        gram = (self._scaled @ rows.T) / (1 - _FIRST ** (self.taken - 1))
        held = self._mixture.of_weights(self._constraint.weights)
        gain = held @ gram @ self._mixture.of_directions(self._constraint.directions).T
        self._gain = gain if self._gain is None else self._gain + _GAIN * (gain - self._gain)

    def _control(self, reading: Float[Tensor, "3"], rate: float) -> None:
        """The multipliers' answer; where one would become negative it stays at zero, and nothing is integrated."""
        if self._constraint is None or self._gain is None:
            return
        directions, slopes = self._constraint.directions, self._constraint.slopes
        assert slopes is not None
        deviation = self._constraint.weights @ reading - self._constraint.values
        plant = Plant(rate * self._gain, slopes, self.size, directions @ self._base)
        new = self._rule.step(self._dual, deviation, plant)
        inside = (self._base + new.used @ directions)[:2].min() >= 0
        self._dual = replace(new, amount=torch.where(inside, new.amount, self._dual.amount))


def _size(constraint: Constraint, controls: Controls) -> Float[Tensor, "m"]:
    """|h⁰| of a functional alone; a difference may vanish, and takes |dh/du| |u|."""
    assert constraint.slopes is not None
    alone = (constraint.weights != 0).sum(1) == 1
    return torch.where(
        alone, constraint.values.abs(), constraint.slopes.abs() @ (constraint.directions @ controls).abs()
    )


def data_weights(objective: PerDatum, data_position: Tensor) -> Float[Tensor, "N"]:
    """What each datum weighs in E f over p(x, y; t), parts one after the other."""
    return torch.cat([objective.data.weights(b, data_position) for b in objective.data.blocks()])


def per_datum(free_energy: FreeEnergy, theta: Vector, controls: Controls, block: int = 2000) -> Float[Tensor, "N 3"]:
    """(R, D, C) of each datum by a forward pass over all of them, which counts as a third of a gradient."""
    objective = free_energy.objective
    assert isinstance(objective, PerDatum)
    free_energy.work.gradient_evaluations += 1 / 3
    with torch.no_grad():
        found = (objective.functionals(b, theta, *controls.unbind()) for b in objective.data.blocks(block))
        return torch.cat([torch.stack(each, dim=1) for each in found])

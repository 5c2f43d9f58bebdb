"""Minibatch updates θ ← θ − η P (m_J + Σ u m_u) that hold functionals, and averages over whole epochs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice

import torch
from jaxtyping import Float
from torch import Tensor

from rdc_dyn.curvature.free_energy import FreeEnergy
from rdc_dyn.data.samples import Block
from rdc_dyn.dynamics.correctors.base import Constraint, Memory
from rdc_dyn.dynamics.correctors.dual import Controlled, DualRule, Plant
from rdc_dyn.linalg.base import Controls, Rows, Vector
from rdc_dyn.objective.base import PerDatum

#: Adam's decay rates for the averages of gradients and of their squares, and its ε (Kingma & Ba 2015).
_FIRST, _SECOND, _EPSILON = 0.9, 0.999, 1e-8
#: Weight of the newest update in the average of the plant's gain.
_GAIN = 1e-2
#: Weight of the newest observation in the average of what noise adds.
_BIAS = 0.4
#: Cost of each further backward pass through a graph, as a share of that of a gradient.
_BACKWARD = 0.4


@dataclass(frozen=True)
class Average:
    """Averages over the updates of whole epochs.

    Attributes:
        theta: Mean iterate θ̄.
        controls: Mean (λ, γ, t).
        readings: Metered (R, D, C) at each of n updates, in nats.
        epochs: Number of epochs.
        mean_square: Mean of |∇J_B|² over the minibatches B.
        square_mean: |mean ∇J_B|².
    """

    theta: Vector
    controls: Controls
    readings: Float[Tensor, "n 3"]
    epochs: float
    mean_square: float
    square_mean: float

    @property
    def reading(self) -> Float[Tensor, "3"]:
        """Mean reading of (R, D, C)."""
        return self.readings.mean(0)

    @property
    def drift(self) -> Float[Tensor, "3"]:
        """Change of (R, D, C) per epoch in nats, from straight lines through the readings."""
        return _slope(self.readings)[0] / self.epochs

    @property
    def error(self) -> Float[Tensor, "3"]:
        """Standard error of (R, D, C) in nats: what drifts within the mean, and what the readings leave open."""
        slope, error = _slope(self.readings)
        return torch.hypot(slope, error / math.sqrt(12))  # the mean of a line is known √12 times better than its rise

    @property
    def loss(self) -> tuple[float, float]:
        """Decrease of J per epoch at the mean controls, and its standard error, in nats."""
        slope, error = _slope(self.readings @ torch.cat([self.controls.new_ones(1), self.controls[:2]]))
        return -float(slope) / self.epochs, float(error) / self.epochs

    @property
    def gradient_noise(self) -> float:
        """σ_g/√N, the noise in the mean of as many independent gradients as an epoch has minibatches."""
        minibatches = len(self.readings) / self.epochs
        return float(max(self.mean_square - self.square_mean, 0.0) / minibatches) ** 0.5


def _slope(readings: Float[Tensor, "n *k"]) -> tuple[Tensor, Tensor]:
    """Change of the readings along a straight line fitted through them, and its standard error."""
    n = len(readings)
    clock = torch.arange(n, dtype=readings.dtype, device=readings.device) - 0.5 * (n - 1)
    square = clock.square().sum().clamp_min(1.0)
    slope = clock @ readings / square
    scatter = (readings - readings.mean(0) - torch.tensordot(clock, slope, 0)).square().sum(0) / max(n - 2, 1)
    return n * slope, n * (scatter / square).sqrt()


@dataclass(frozen=True)
class Mixture:
    """The combinations of R, D and C whose momenta an update keeps apart, so that no momentum holds a stale multiplier.

    The first row is what no free multiplier multiplies: R, plus λD or γC where λ or γ is fixed. The others are D, C or
    both.

    Attributes:
        moving: Indices into (R, D, C) of the rows after the first.
    """

    moving: tuple[int, ...]

    @classmethod
    def of(cls, constraint: Constraint | None) -> Mixture:
        """The fewest rows that suffice: one if nothing is held, two if, say, γ alone holds C, at most three."""
        if constraint is None:
            return cls(())
        touched = constraint.directions[:, :2].abs().sum(0) + constraint.weights[:, 1:].abs().sum(0)
        everything = bool((constraint.weights[:, 0] != 0).any())
        return cls(tuple(i for i in (1, 2) if everything or bool(touched[i - 1] > 0)))

    def __len__(self) -> int:
        return 1 + len(self.moving)

    @property
    def multipliers(self) -> list[int]:
        """Indices into (λ, γ, t) of the multipliers that move."""
        return [i - 1 for i in self.moving]

    def values(self, functionals: Sequence[Tensor], controls: Controls) -> list[Tensor]:
        """Values of the rows for given (R, D, C), with the fixed multipliers taken from `controls`."""
        base = functionals[0]
        for i in (1, 2):
            if i not in self.moving:
                base = base + controls[i - 1] * functionals[i]
        return [base, *(functionals[i] for i in self.moving)]

    def of_weights(self, weights: Float[Tensor, "m 3"]) -> Float[Tensor, "m k"]:
        """w·(R, D, C) as coefficients of the rows; the first row is R alone wherever a weight asks for it."""
        return torch.cat([weights[:, :1], weights[:, list(self.moving)]], dim=1)

    def of_directions(self, directions: Float[Tensor, "m 3"]) -> Float[Tensor, "m k"]:
        """What a direction in (λ, γ, t) multiplies, as coefficients of the rows."""
        return torch.cat([directions.new_zeros((len(directions), 1)), directions[:, self.multipliers]], dim=1)

    def of_controls(self, controls: Controls) -> Float[Tensor, "k"]:
        """J at given multipliers, as coefficients of the rows."""
        return torch.cat([controls.new_ones(1), controls[self.multipliers]])


class Descent:
    """A correction in progress: θ, the multipliers, the meter and Adam's averages.

    The objective must be `PerDatum`; `batch` counts data of the largest part; `memory` is None at the start of a path;
    `rates` are η while the multipliers move and while θ is averaged.

    Attributes:
        bias: What noise adds to (R, D, C) of the moving iterate at each of the two rates, in nats, shape (2, 3).
        taken: Updates so far.
        size: Scale of each held functional: |h⁰|, or its change as its multipliers double where D is mixed with others.
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
        rates: tuple[float, float],
        draws: torch.Generator,
    ) -> None:
        assert isinstance(free_energy.objective, PerDatum)
        self._objective, self._work = free_energy.objective, free_energy.work
        self.theta, self._base, self._constraint = theta.clone(), controls, constraint
        self._rule, self._batch, self._rates, self._draws = rule, batch, rates, draws
        self._mixture = Mixture.of(constraint)
        self._momenta, self._age, self.taken = theta.new_zeros((len(self._mixture), theta.numel())), 0, 0
        if memory is not None and memory.momenta is not None:
            self._momenta, self._age = memory.momenta.clone(), memory.updates
        self._scaled = torch.zeros_like(self._momenta)
        m = 0 if constraint is None else len(constraint.values)
        self._dual = Controlled(*(controls.new_zeros(m) for _ in range(3)))
        if memory is None:
            losses = per_datum(free_energy, theta, controls)
            unknown = controls.new_zeros((2, 3))
            memory = Memory(losses, torch.zeros_like(theta), controls.new_zeros((0, 0)), unknown, unknown, 0)
        self._losses, self._squares, self._updates = memory.losses.clone(), memory.squares.clone(), memory.updates
        self._gain = memory.gain.clone() if m and memory.gain.shape == (m, m) else None
        self.bias, self._doubt, self._fixed = memory.bias, memory.doubt, False
        counts = list(self._objective.data.parts.items())
        self._offsets = {part: sum(n for _, n in counts[:i]) for i, (part, _) in enumerate(counts)}
        self._at(controls[2])
        self.size = controls.new_zeros(0) if constraint is None else _size(constraint, controls)

    def _at(self, data_position: Tensor) -> None:
        """Weight the table of losses for the data at t."""
        self._weights = data_weights(self._objective, data_position)
        self._total = self._weights @ self._losses

    @property
    def length(self) -> int:
        """Number of updates in an epoch."""
        return self._objective.data.updates(self._batch)

    @property
    def memory(self) -> Memory:
        """What the next correction may start from."""
        gain = self._base.new_zeros((0, 0)) if self._gain is None else self._gain
        return Memory(self._losses, self._squares, gain, self.bias, self._doubt, self._updates)

    @property
    def whole_memory(self) -> Memory:
        """`memory` with which the next correction goes on from the last iterate, as one training does."""
        return replace(self.memory, iterate=self.theta, momenta=self._momenta)

    def learn_bias(self, seen: Float[Tensor, "3"], rate: float) -> None:
        """Average what noise added at one of the two rates into the bias, since each observation is noisy itself."""
        level, self.bias, self._doubt = self._rates.index(rate), self.bias.clone(), self._doubt.clone()
        share, missed = _BIAS if bool(self.bias[level].any()) else 1.0, seen - self.bias[level]
        self.bias[level] += share * missed
        self._doubt[level] = missed.abs()

    def _at_rate(self, known: Float[Tensor, "2 3"], rate: float) -> Float[Tensor, "3"]:
        """What is known at two η, on the straight line through them: what noise adds is not in proportion to η."""
        high, low = self._rates
        return torch.lerp(known[1], known[0], (rate - low) / (high - low))

    @property
    def _preconditioner(self) -> Vector:
        """P, the diagonal of Adam's preconditioner."""
        return torch.rsqrt(self._squares / (1 - _SECOND**self._updates) + _EPSILON**2)

    @property
    def controls(self) -> Controls:
        """(λ, γ, t) of the next update."""
        if self._constraint is None:
            return self._base
        moved = self._base + self._dual.used @ self._constraint.directions
        return torch.cat([moved[:2].clamp_min(0.0), moved[2:]])

    def fix(self, controls: Controls) -> None:
        """Hold the multipliers at these controls from now on."""
        self._rest()
        self._base = controls
        self._dual = Controlled(*(torch.zeros_like(self._dual.amount) for _ in range(3)))

    def _rest(self) -> None:
        """Let feedback rest: multipliers then change between means only, and one row, ∇J, will do."""
        if not self._fixed:
            self._momenta = (self._mixture.of_controls(self.controls) @ self._momenta)[None]
            self._mixture, self._fixed = Mixture(()), True

    def average(
        self,
        epochs: float,
        rate: float,
        last: float | None = None,
        base: tuple[Controls, Controls] | None = None,
        carried: Vector | None = None,
    ) -> Average:
        """Run epochs, the last of which may be cut short, and average over them.

        η falls geometrically from `rate` to `last`, the controls go in a straight line between the two of `base`, and
        θ goes by `carried` besides its updates; None keeps each. A rule that tests for arrival gives no feedback once
        the data move: what θ has yet to learn is no fault of the multipliers.
        """
        moves = base is not None and bool(base[0][2] != base[1][2])
        if moves and self._rule.arrives:
            self._rest()
        n, theta = math.ceil(epochs * self.length), torch.zeros_like(self.theta)
        moved, readings = torch.zeros_like(self._base), self._base.new_zeros((n, 3))
        gradients, square = torch.zeros_like(self._momenta), self._base.new_zeros(())
        whole = (self._objective.data.epoch(self._batch, self._draws) for _ in range(math.ceil(epochs)))
        for k, blocks in enumerate(islice(chain.from_iterable(whole), n)):
            done = (k + 1) / n
            if base is not None:
                self._base = base[0] + done * (base[1] - base[0])
            if moves:
                self._at(self._base[2])
            if carried is not None:
                self.theta = self.theta.add(carried, alpha=1 / n)
            now = rate if last is None else rate * (last / rate) ** done
            age = (k % self.length) / self.length
            readings[k], rows, used = self._update(blocks, now, age, feeds_back=not self._fixed)
            if k == 0:
                first = used
            gradients.add_(rows, alpha=1 / n)
            square += (self._mixture.of_controls(used) @ rows).square().sum() / n
            theta.add_(self.theta, alpha=1 / n)
            moved = moved + (used - first) / n  # so that what rests keeps its value to the last bit
        controls = first + moved
        mean = self._mixture.of_controls(controls) @ gradients
        return Average(theta, controls, readings, epochs, float(square), float(mean.square().sum()))

    def _update(
        self, blocks: tuple[Block, ...], rate: float, done: float, *, feeds_back: bool
    ) -> tuple[Tensor, Rows, Controls]:
        """Take one step of θ and one of the multipliers; return the reading, the gradients and the controls used."""
        controls, leaf = self.controls, self.theta.requires_grad_()
        blocks = tuple(self._objective.drawn(block, self._draws) for block in blocks)
        with torch.enable_grad():
            found = zip(*(self._objective.functionals(b, leaf, *controls.unbind()) for b in blocks))
            columns = [parts[0] if len(parts) == 1 else torch.cat(parts) for parts in found]
            weights = torch.cat([self._objective.data.weights(b, controls[2]) for b in blocks])
            values = self._mixture.values([weights @ column for column in columns], controls)
            rows = torch.stack([torch.autograd.grad(v, leaf, retain_graph=v is not values[-1])[0] for v in values])
        each = torch.stack([column.detach() for column in columns], dim=1)
        self.theta = leaf.detach()
        rows[0].add_(self.theta, alpha=self._objective.weight_prior_precision)
        self._count(blocks)
        reading = self._meter(blocks, weights, each, done)
        self._move(rows, controls, rate)
        if feeds_back:
            self._control(reading - self._at_rate(self.bias, rate) if self._rule.metered else weights @ each, rate)
        return reading, rows, controls

    def _count(self, blocks: tuple[Block, ...]) -> None:
        share = sum(b.count for b in blocks) / len(self._weights)
        self._work.gradient_evaluations += share * (1 + _BACKWARD * (len(self._mixture) - 1))
        self._updates += 1
        self.taken += 1

    def _meter(
        self, blocks: tuple[Block, ...], weights: Tensor, each: Float[Tensor, "n 3"], done: float
    ) -> Float[Tensor, "3"]:
        """(R, D, C) over all data from those of a minibatch, with the table of losses as control variate.

        SAGA's reading, the mean of the table plus the mean change in the minibatch, is unbiased for draws with
        replacement. Within an epoch, when a fraction f of it is done, the data of a minibatch were last seen 1/2 + f
        epochs ago on average, while a fraction f of the table is younger. For losses that drift evenly the table lags
        by f²/2 + (1 − f)(f + 1/2) epochs, so the change is scaled by the ratio of the two; all of it would make the
        reading drift twice as fast.
        """
        places = torch.cat([b.rows + self._offsets[b.part] for b in blocks if isinstance(b.rows, Tensor)])
        change = each - self._losses[places]
        lacking = (0.5 * done**2 + (1 - done) * (done + 0.5)) / (done + 0.5)
        reading = self._total + lacking * (weights @ change)
        self._total = self._total + self._weights[places] @ change
        self._losses[places] = each
        return reading

    def _move(self, rows: Rows, controls: Controls, rate: float) -> None:
        """θ ← θ − η P m, with a separate momentum for each row of the mixture."""
        mixed = self._mixture.of_controls(controls)
        gradient = mixed @ rows
        self._squares.mul_(_SECOND).addcmul_(gradient, gradient, value=1 - _SECOND)
        if self._constraint is not None and not self._fixed and self.taken > 1:
            self._observe(rows)
        self._momenta.lerp_(rows, 1 - _FIRST)
        self._scaled = self._momenta * self._preconditioner
        self.theta = self.theta.add((mixed @ self._scaled), alpha=-rate)

    def _observe(self, rows: Rows) -> None:
        """Update the mean of the plant's gain m_hᵀ P g_u; momenta of earlier updates share no noise with g_u."""
        assert self._constraint is not None
        gram = (self._scaled @ rows.T) / (1 - _FIRST ** (self._age + self.taken - 1))
        held = self._mixture.of_weights(self._constraint.weights)
        gain = held @ gram @ self._mixture.of_directions(self._constraint.directions).T
        self._gain = gain if self._gain is None else self._gain + _GAIN * (gain - self._gain)

    def _control(self, reading: Float[Tensor, "3"], rate: float) -> None:
        """Let the rule move the multipliers; one that would turn negative stays at zero, and nothing is integrated."""
        if self._constraint is None or self._gain is None:
            return
        directions, slopes = self._constraint.directions, self._constraint.slopes
        assert slopes is not None
        deviation = self._constraint.weights @ reading - self._constraint.values
        doubt = self._constraint.weights.abs() @ self._at_rate(self._doubt, rate)
        plant = Plant(rate * self._gain, slopes, self.size, doubt, directions @ self._base)
        new = self._rule.step(self._dual, deviation, plant)
        inside = (self._base + new.used @ directions)[:2].min() >= 0
        self._dual = replace(new, amount=torch.where(inside, new.amount, self._dual.amount))


def _size(constraint: Constraint, controls: Controls) -> Float[Tensor, "m"]:
    """|h⁰| of a single functional and of C + R/β; what may vanish, or has D and its constant, takes |dh/du| |u|."""
    assert constraint.slopes is not None
    weights, moved = constraint.weights, constraint.slopes.abs() @ (constraint.directions @ controls).abs()
    plain = ((weights != 0).sum(1) == 1) | ((weights[:, 1] == 0) & (weights >= 0).all(1))
    return torch.where(plain, constraint.values.abs(), moved)


def data_weights(objective: PerDatum, data_position: Tensor) -> Float[Tensor, "N"]:
    """Weight of each datum in E f over p(x, y; t), parts concatenated."""
    return torch.cat([objective.data.weights(b, data_position) for b in objective.data.blocks()])


def per_datum(free_energy: FreeEnergy, theta: Vector, controls: Controls, block: int = 2000) -> Float[Tensor, "N 3"]:
    """(R, D, C) of each datum by a forward pass over all data, which counts as a third of a gradient."""
    objective = free_energy.objective
    assert isinstance(objective, PerDatum)
    free_energy.work.gradient_evaluations += 1 / 3
    with torch.no_grad():
        found = (objective.functionals(b, theta, *controls.unbind()) for b in objective.data.blocks(block))
        return torch.cat([torch.stack(each, dim=1) for each in found])

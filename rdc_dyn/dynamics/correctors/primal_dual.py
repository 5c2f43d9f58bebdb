"""The stochastic bordered corrector: ∇J(θ̄) = 0 and h(θ̄) = h⁰ for the mean θ̄ of whole epochs."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from rdc_dyn.curvature.free_energy import FreeEnergy
from rdc_dyn.dynamics.correctors.base import Constraint, Correction, Corrector, Departure
from rdc_dyn.dynamics.correctors.dual import FURTHEST, DualRule, Feedback
from rdc_dyn.dynamics.correctors.gradient import stream
from rdc_dyn.dynamics.correctors.minibatch_descent import Average, Descent, data_weights, per_datum
from rdc_dyn.dynamics.state import State, relative_change
from rdc_dyn.linalg.base import Controls, Vector, all_finite
from rdc_dyn.status import NumericalFailure, Status

#: Learning rate of the epochs that are averaged, as a share of that before: noise adds the less, the lower it is.
_ANNEALED = 0.3
#: Relative change of a free multiplier above which it is not stationary.
_STATIONARY = 0.03
#: Share of a deviation that must be left for it to count as one that stays.
_STAYS = 0.75
#: Keeps a quotient finite where no multiplier has moved.
_TINY = 1e-30
#: Rounds up to which a step counts as easy, and beyond which it counts as hard.
_EASY, _HARD = 4, 6


@dataclass(frozen=True)
class Judgement:
    """The four tests of arrival, each passed by a number of at most one.

    Attributes:
        held: |h(θ̄) − h⁰| over the tolerance.
        stationary: Relative change that the deviation asks of the free multipliers, over `_STATIONARY`.
        gradient: |mean ∇J_B| over its noise σ_g/√N.
        loss: J lost per epoch over what the step's work or the loss before it allows, errors included.
    """

    held: float
    stationary: float
    gradient: float
    loss: float

    @property
    def arrived(self) -> bool:
        """Whether all tests are passed."""
        return max(self.held, self.stationary, self.gradient, self.loss) <= 1

    @property
    def strictness(self) -> float:
        """Share of the tolerance within which a deviation lets the multipliers be stationary as well, at most one."""
        return min(1.0, self.held / self.stationary) if self.stationary > 0 else 1.0

    def __str__(self) -> str:
        parts = (("what is held", self.held), ("multipliers", self.stationary), ("grad J", self.gradient))
        return ", ".join(f"{name} {value:.2g}" for name, value in (*parts, ("J lost per epoch", self.loss)))


@dataclass(frozen=True)
class Round:
    """Some epochs, judged at their mean on all data.

    Attributes:
        deviation: h(θ̄) − h⁰ in nats.
        slopes: dh/du as far as it is known by now.
        persistence: Rounds in a row after which each held functional was as far off as before, on the same side.
    """

    average: Average
    deviation: Float[Tensor, "m"]
    slopes: Float[Tensor, "m m"]
    judgement: Judgement
    persistence: Float[Tensor, "m"]

    @property
    def asked(self) -> Float[Tensor, "m"]:
        """Change of the free multipliers that would undo the deviation."""
        return self._undoing(self.deviation)

    @property
    def move(self) -> Float[Tensor, "m"]:
        """Change of the free multipliers to be made: a deviation that stays asks for twice as much each time.

        Learning drives it, or the response is slower than a round.
        """
        return self._undoing(self.deviation * 2**self.persistence)

    def _undoing(self, deviation: Float[Tensor, "m"]) -> Float[Tensor, "m"]:
        return -torch.linalg.solve_ex(self.slopes, deviation[:, None])[0][:, 0]


@dataclass(frozen=True)
class PrimalDual(Corrector):
    """Minibatch updates of θ while the free multipliers hold what the process holds; points are means over epochs.

    Attributes:
        batch: Data of the largest part in a minibatch.
        learning_rate: η of Adam while the multipliers move; epochs that are averaged take a share of it.
        updates: Minimum number of updates at η; during the first half the controls go to the end of the step.
        epochs: Maximum number of averages, each over half as many updates and followed by the tests of arrival.
        tolerance: On what is held, relative.
        dissipation: Share of a step's work that θ may still lose in its last epoch.
    """

    batch: int
    learning_rate: float
    updates: int
    epochs: int
    tolerance: float
    dissipation: float
    seed: int = 0
    rule: DualRule = field(default_factory=Feedback)
    averages: ClassVar[bool] = True

    def correct(
        self,
        free_energy: FreeEnergy,
        state: State,
        constraint: Constraint | None,
        departure: Departure | None = None,
    ) -> Correction:
        """Equilibrate and hold; fails with CORRECTOR_DIVERGED, NOT_HELD, BOUND_REACHED or NON_FINITE."""
        try:
            return self._correct(free_energy, state, constraint, departure)
        except NumericalFailure as failure:
            return Correction(state, None, 0, failure.status, failure.detail)

    def _correct(
        self, free_energy: FreeEnergy, state: State, constraint: Constraint | None, departure: Departure | None
    ) -> Correction:
        begin = state.controls if departure is None else departure.at.controls
        goal = state.controls if constraint is None else _bounded(begin, state.controls, constraint)
        State(state.theta, goal).require_bounds()
        memory = None if departure is None else departure.memory
        # Of the goal too, so that a shorter step does not meet the minibatches with which a longer one has failed.
        draws = stream(self.seed, torch.cat([state.theta, goal]))
        rates = (self.learning_rate, self._annealed)
        descent = Descent(free_energy, state.theta, begin, constraint, self.rule, memory, self.batch, rates, draws)
        carried = None if departure is None else _carried(departure, State(state.theta, goal))
        settled, rounds, best, found = self._settle(free_energy, descent, (begin, goal), carried), 0, None, None
        while rounds < self.epochs and (best is None or best[1].residual > best[0].average.gradient_noise > 0):
            rounds, found = rounds + 1, self._round(free_energy, descent, constraint, departure, found)
            if found.judgement.arrived if self.rule.arrives else rounds == self.epochs:
                at = free_energy.linearise(found.average.theta, found.average.controls)
                best = (found, at) if best is None or at.residual < best[1].residual else best
            if constraint is not None and self.rule.arrives:
                descent.fix(_restored(found, constraint))
        if best is None:
            assert found is not None
            raise _not_arrived(found, constraint, descent.size, begin)
        found, at = best
        many = found.average.epochs
        epochs, noise = rounds * many + settled, found.average.error
        growth = 2.0 if rounds <= _EASY else 1.4 if rounds <= _HARD else 1.0
        origin = None if departure is None else State(departure.at.theta, departure.at.controls)
        return Correction(
            State(at.theta, at.controls), at, descent.taken, None, memory=replace(descent.memory, origin=origin),
            growth=growth, notes=_notes(found, constraint, epochs), noise=noise,
        )  # fmt: skip

    @property
    def _annealed(self) -> float:
        """η while θ is averaged."""
        return _ANNEALED * self.learning_rate

    def _settle(
        self, free_energy: FreeEnergy, descent: Descent, base: tuple[Controls, Controls], carried: Vector | None
    ) -> int:
        """Run epochs at the full η, the controls moving in the first half, then anneal η; return how many it took."""
        epochs, some = math.ceil(self.updates / descent.length), self._epochs_of_a_mean(descent)
        average = descent.average(some, self.learning_rate, base=base, carried=carried)
        if epochs > some:
            if torch.equal(*base):  # a second look at what noise adds says how well it is known
                self._functionals(free_energy, descent, average, self.learning_rate)
            average = descent.average(epochs - some, self.learning_rate)
        self._functionals(free_energy, descent, average, self.learning_rate)
        last = descent.average(some, self.learning_rate, self._annealed)
        if self.rule.arrives:
            descent.fix(last.controls)
        return epochs + some

    def _epochs_of_a_mean(self, descent: Descent) -> int:
        """Epochs in one average: half of those in which θ settles, and at least one."""
        return math.ceil(0.5 * math.ceil(self.updates / descent.length))

    def _round(
        self,
        free_energy: FreeEnergy,
        descent: Descent,
        constraint: Constraint | None,
        departure: Departure | None,
        last: Round | None,
    ) -> Round:
        """Run some more epochs and judge their mean on all data."""
        average = descent.average(self._epochs_of_a_mean(descent), self._annealed)
        if not all_finite(average.theta, average.readings):
            raise NumericalFailure(Status.NON_FINITE, "a loss or a gradient of a minibatch")
        functionals = self._functionals(free_energy, descent, average, self._annealed)
        none = functionals.new_zeros(0)
        found = Round(average, none, functionals.new_zeros((0, 0)), Judgement(0.0, 0.0, 0.0, 0.0), none)
        if constraint is not None and constraint.slopes is not None:
            deviation = constraint.weights @ functionals - constraint.values
            found = Round(average, deviation, constraint.slopes, found.judgement, torch.zeros_like(deviation))
            if last is not None:
                persistence = _persistence(last, deviation, self.tolerance * descent.size)
                found = replace(found, slopes=_seen(last, found, constraint), persistence=persistence)
        return replace(found, judgement=self._judge(found, descent.size, functionals, constraint, departure))

    def _functionals(
        self, free_energy: FreeEnergy, descent: Descent, average: Average, rate: float
    ) -> Float[Tensor, "3"]:
        """(R, D, C) of all data at the mean of some epochs; the excess of the readings is what noise has added."""
        losses = per_datum(free_energy, average.theta, average.controls)
        functionals = data_weights(free_energy.objective, average.controls[2]) @ losses  # type: ignore[arg-type]
        descent.learn_bias(average.reading - functionals, rate)
        return functionals

    def _judge(
        self,
        found: Round,
        size: Float[Tensor, "m"],
        functionals: Float[Tensor, "3"],
        constraint: Constraint | None,
        departure: Departure | None,
    ) -> Judgement:
        held = stationary = loss = 0.0
        average, controls = found.average, found.average.controls
        if constraint is not None:
            held = float((found.deviation.abs() / (self.tolerance * size)).max())
            stationary = float((found.asked.abs() / (_STATIONARY * (constraint.directions @ controls).abs())).max())
        if departure is not None:
            work = abs(
                float(0.5 * (departure.at.forces[:2] + functionals[1:]) @ (controls - departure.at.controls)[:2])
            )
            work += abs(float(departure.at.forces[2] * (controls - departure.at.controls)[2]))
            lost, error = average.loss
            allowed = max(self.dissipation * work, 1.5 * departure.notes.get("ageing", 0.0)) + 2 * error
            loss = max(lost, 0.0) / allowed if allowed > 0 else 0.0
        gradient = (average.square_mean**0.5) / average.gradient_noise if average.gradient_noise > 0 else 0.0
        return Judgement(held, stationary, gradient, loss)


def _bounded(begin: Controls, goal: Controls, constraint: Constraint) -> Controls:
    """The goal with its free part limited to a share of the multipliers: the prediction by M may be far off."""
    basis = torch.linalg.qr(constraint.directions.T)[0].T
    free = basis @ (goal - begin)
    most = FURTHEST * (basis.abs() @ begin.abs())
    return goal + (free.clamp(-most, most) - free) @ basis


def _carried(departure: Departure, goal: State) -> Vector | None:
    """Change of θ that the last step leads to expect of this one: θ goes on as far as the controls do, in logarithms.

    Slow directions, which a step's epochs leave behind, so keep up; those that lead nowhere die out, since along a path
    of equal steps each is a smaller part of the multipliers than the last. None where there was no step before, or
    where θ has been predicted already.
    """
    assert departure.memory is not None
    origin, at = departure.memory.origin, departure.at
    if origin is None or not torch.equal(goal.theta, at.theta):
        return None
    last, now = relative_change(origin.controls, at.controls), relative_change(at.controls, goal.controls)
    share = (now @ last / last.square().sum().clamp_min(_TINY)).clamp(0.0, 1.0)
    return share * (at.theta - origin.theta)


def _restored(found: Round, constraint: Constraint) -> Controls:
    """The controls after the move that the deviation asks for, along the slopes of the surface."""
    controls = found.average.controls
    return _bounded(controls, controls + found.move @ constraint.directions, constraint)


def _persistence(last: Round, deviation: Float[Tensor, "m"], tolerance: Float[Tensor, "m"]) -> Float[Tensor, "m"]:
    """Rounds in a row that left a deviation beyond what is allowed on its side and at three quarters of its size."""
    allowed = last.judgement.strictness * tolerance
    stays = (deviation.abs() > allowed) & (deviation * last.deviation > _STAYS * last.deviation.square())
    return torch.where(stays, last.persistence + 1, 0)


def _seen(last: Round, found: Round, constraint: Constraint) -> Float[Tensor, "m m"]:
    """The slopes after Broyden's update, where what is held has moved further than predicted: there M is too flat.

    Of all slopes that explain the move it takes those nearest to the old ones with multipliers in units of themselves,
    unless these would make the response flatter as a whole, or turn it over.
    """
    change = found.average.controls - last.average.controls
    moved = torch.linalg.lstsq(constraint.directions.T, change).solution
    answered, foreseen = found.deviation - last.deviation, last.slopes @ moved
    flat = (answered.abs() > foreseen.abs()) & (answered * foreseen > 0)
    unit = (constraint.directions @ last.average.controls).abs().clamp_min(_TINY)
    share = moved / unit
    nearest = share / unit / share.square().sum().clamp_min(_TINY)
    seen = last.slopes + flat[:, None] * torch.outer(answered - foreseen, nearest)
    return seen if bool(torch.linalg.det(seen) / torch.linalg.det(last.slopes) >= 1) else last.slopes


def _not_arrived(found: Round, constraint: Constraint | None, size: Tensor, begin: Controls) -> NumericalFailure:
    """Why a correction is rejected; a held functional that cannot be reached is named with its numbers."""
    controls, judged = found.average.controls, found.judgement
    if constraint is not None and _at_bound(found, constraint, begin):
        return NumericalFailure(Status.BOUND_REACHED, f"lam = {controls[0]:.6g}, gamma = {controls[1]:.6g}")
    if constraint is not None and judged.held > 1:
        worst = int((found.deviation.abs() / size).argmax())
        value = float(found.deviation[worst] + constraint.values[worst])
        text = f"what is held stays at {value:.6g}, wanted is {float(constraint.values[worst]):.6g}; lam has gone from "
        text += f"{begin[0]:.6g} to {controls[0]:.6g}, gamma from {begin[1]:.6g} to {controls[1]:.6g}"
        return NumericalFailure(Status.NOT_HELD, text)
    return NumericalFailure(Status.CORRECTOR_DIVERGED, f"over what is allowed: {judged}")


def _at_bound(found: Round, constraint: Constraint, begin: Controls) -> bool:
    """Whether a free multiplier is zero, or below half of what it was and asked to go below zero."""
    now, before = constraint.directions @ found.average.controls, constraint.directions @ begin
    if bool((now == 0).any()) or found.judgement.held <= 1:
        return bool((now == 0).any())
    return bool(((now < 0.5 * before) & (now + found.asked < 0)).any())


def _notes(found: Round, constraint: Constraint | None, epochs: float) -> Mapping[str, float]:
    """What the record of a point says of its correction, by name.

    The errors are those of slow relaxation, which does not show within an epoch: the drift in the last round is taken
    to last for all epochs of the step. Those of the multipliers are the changes that would undo the error of what is
    held.
    """
    noise, errors = epochs * found.average.drift.abs(), [0.0, 0.0]
    if constraint is not None and constraint.slopes is not None:
        missing = constraint.weights.abs() @ noise + found.deviation.abs()
        asked = torch.linalg.solve_ex(found.slopes, missing[:, None])[0][:, 0]
        errors = (asked.abs() @ constraint.directions.abs()).tolist()
    return {
        "ageing": found.average.loss[0],
        "gradient_noise": found.average.gradient_noise,
        "lam_error": errors[0],
        "gamma_error": errors[1],
        "rate_error": float(noise[0]),
        "distortion_error": float(noise[1]),
    }

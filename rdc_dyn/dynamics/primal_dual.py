"""∇J(θ̄) = 0 and h(θ̄) = h⁰ for the mean θ̄ of whole epochs: the stochastic bordered corrector."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from rdc_dyn.dynamics.corrector import Constraint, Correction, Departure
from rdc_dyn.dynamics.dual import DualRule, Feedback
from rdc_dyn.dynamics.gradient import stream
from rdc_dyn.dynamics.minibatch_descent import Average, Descent, data_weights, per_datum
from rdc_dyn.dynamics.state import State
from rdc_dyn.linalg.base import Vector, all_finite
from rdc_dyn.objective.free_energy import FreeEnergy
from rdc_dyn.objective.graph import Controls
from rdc_dyn.objective.linearisation import Linearisation
from rdc_dyn.status import NumericalFailure, Status

#: Relative difference of the free multipliers between the halves of an epoch from which they are not stationary.
_STATIONARY = 0.03
#: Longest feed-forward of a multiplier that is free, as a share of it.
_FORWARD = 0.3
#: Rounds after which a step counts as easy, and as hard.
_EASY, _HARD = 4, 6


@dataclass(frozen=True)
class Judgement:
    """The four tests of arrival, each as a number that may be one at most.

    Attributes:
        held: |h(θ̄) − h⁰| over the tolerance.
        stationary: Difference of the free multipliers between the halves of the epoch, over three hundredths.
        gradient: |∇J| over the noise σ_g/√N of a mean over all data.
        loss: J lost in the epoch, over a share of the step's work or what an epoch lost before the step, and its error.
    """

    held: float
    stationary: float
    gradient: float
    loss: float

    @property
    def arrived(self) -> bool:
        """Whether all hold."""
        return max(self.held, self.stationary, self.gradient, self.loss) <= 1

    def __str__(self) -> str:
        parts = (("what is held", self.held), ("multipliers", self.stationary), ("grad J", self.gradient))
        return ", ".join(f"{name} {value:.2g}" for name, value in (*parts, ("J lost per epoch", self.loss)))


@dataclass(frozen=True)
class Round:
    """An epoch with what all data say of its mean.

    Attributes:
        average: The epoch.
        deviation: h(θ̄) − h⁰, shape (m,).
        judgement: The tests.
    """

    average: Average
    deviation: Float[Tensor, "m"]
    judgement: Judgement


@dataclass(frozen=True)
class PrimalDual:
    """Minibatch updates of θ while the free multipliers hold what the process holds; recorded are means of epochs.

    Attributes:
        batch: Data of the largest part in a minibatch.
        learning_rate: η of Adam, constant: the mean over an epoch has less noise than the end of an annealed one.
        updates: Updates before the first epoch; during their first half the controls go to the end of the step.
        epochs: Most epochs; the tests of arrival are made after each.
        tolerance: Of what is held, relative.
        dissipation: Share of a step's work that θ may still lose in its last epoch.
        seed: Of the minibatches.
        rule: Moves the free multipliers.
    """

    batch: int
    learning_rate: float = 1e-3
    updates: int = 240
    epochs: int = 8
    tolerance: float = 5e-3
    dissipation: float = 1e-2
    seed: int = 0
    rule: DualRule = field(default_factory=Feedback)

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
        begin = state.controls if departure is None else departure.controls
        goal = state.controls if constraint is None else _bounded(begin, state.controls, constraint)
        State(state.theta, goal).require_bounds()
        memory = None if departure is None else departure.memory
        draws = stream(self.seed, state.theta)
        descent = Descent(free_energy, state.theta, goal, constraint, self.rule, memory, self.batch, draws)
        descent.settle(self.updates, self.learning_rate, begin)
        rounds, best = 0, None
        while rounds < self.epochs and (best is None or best[1].residual > best[0].average.gradient_noise > 0):
            rounds, found = rounds + 1, self._round(free_energy, descent, constraint, departure)
            if found.judgement.arrived if self.rule.arrives else rounds == self.epochs:
                at = self._recorded(free_energy, descent, found, constraint)
                best = (found, at) if best is None or at.residual < best[1].residual else best
        if best is None:
            raise _not_arrived(found, constraint, descent.size, begin)
        found, at = best
        noise = _noise(found, constraint, rounds + descent.settled)
        growth = 2.0 if rounds <= _EASY else 1.4 if rounds <= _HARD else 1.0
        return Correction(
            State(at.theta, at.controls), at, descent.taken, None,
            memory=descent.memory, growth=growth, notes=_notes(found, noise, rounds + descent.settled), noise=noise,
        )  # fmt: skip

    def _recorded(
        self, free_energy: FreeEnergy, descent: Descent, found: Round, constraint: Constraint | None
    ) -> Linearisation:
        """The mean of an epoch, polished where the rule arrives; polishing must not raise |∇J| above its noise."""
        theta = found.average.theta
        if constraint is not None and self.rule.arrives:
            theta = polished(descent, found, constraint)
        return free_energy.linearise(theta, found.average.controls)

    def _round(
        self, free_energy: FreeEnergy, descent: Descent, constraint: Constraint | None, departure: Departure | None
    ) -> Round:
        """Another epoch, judged by all data; what noise adds to the readings is learnt from it."""
        average = descent.average(self.learning_rate)
        if not all_finite(average.theta, average.readings):
            raise NumericalFailure(Status.NON_FINITE, "a loss or a gradient of a minibatch")
        controls = average.controls
        objective = free_energy.objective
        losses = per_datum(free_energy, average.theta, controls)
        functionals = data_weights(objective, controls[2]) @ losses  # type: ignore[arg-type]
        descent.learn_bias(average.reading - functionals)
        deviation = controls.new_zeros(0)
        if constraint is not None:
            deviation = constraint.weights @ functionals - constraint.values
        judgement = self._judge(average, deviation, descent.size, functionals, constraint, departure)
        return Round(average, deviation, judgement)

    def _judge(
        self,
        average: Average,
        deviation: Float[Tensor, "m"],
        size: Float[Tensor, "m"],
        functionals: Float[Tensor, "3"],
        constraint: Constraint | None,
        departure: Departure | None,
    ) -> Judgement:
        held = stationary = loss = 0.0
        controls = average.controls
        if constraint is not None:
            held = float((deviation.abs() / (self.tolerance * size)).max())
            moved = (constraint.directions @ (average.halves[1] - average.halves[0])).abs()
            stationary = float((moved / (_STATIONARY * (constraint.directions @ controls).abs())).max())
        if departure is not None:
            work = abs(float(0.5 * (departure.forces[:2] + functionals[1:]) @ (controls - departure.controls)[:2]))
            work += abs(float(departure.forces[2] * (controls - departure.controls)[2]))
            lost, error = average.loss
            allowed = max(self.dissipation * work, 1.5 * departure.notes.get("ageing", 0.0)) + 2 * error
            loss = max(lost, 0.0) / allowed if allowed > 0 else 0.0
        gradient = (average.square_mean**0.5) / average.gradient_noise if average.gradient_noise > 0 else 0.0
        return Judgement(held, stationary, gradient, loss)


def polished(descent: Descent, found: Round, constraint: Constraint) -> Vector:
    """θ̄ − P Hᵀ (H P Hᵀ)⁻¹ (h − h⁰) with H the epoch's mean ∇h, where the deviation is small: h⁰ to second order."""
    gradients = descent.mixture.of_weights(constraint.weights) @ found.average.gradients
    scaled = gradients * descent.preconditioner
    amount, info = torch.linalg.solve_ex(gradients @ scaled.T, found.deviation)
    theta = found.average.theta
    if int(info) or found.judgement.held > 1 or not all_finite(amount):
        return theta
    return theta - amount @ scaled


def _bounded(begin: Controls, goal: Controls, constraint: Constraint) -> Controls:
    """The goal with its free part no further than a share of the multipliers: what M foresees may be far off."""
    basis = torch.linalg.qr(constraint.directions.T)[0].T
    free = basis @ (goal - begin)
    most = _FORWARD * (basis.abs() @ begin.abs())
    return goal + (free.clamp(-most, most) - free) @ basis


def _not_arrived(found: Round, constraint: Constraint | None, size: Tensor, begin: Controls) -> NumericalFailure:
    """Why a correction is not accepted; what is held and cannot be reached is named with its numbers."""
    controls, judged = found.average.controls, found.judgement
    if constraint is not None and float((constraint.directions @ controls).abs().min()) == 0:
        return NumericalFailure(Status.BOUND_REACHED, f"lam = {controls[0]:.6g}, gamma = {controls[1]:.6g}")
    if constraint is not None and judged.held > 1:
        worst = int((found.deviation.abs() / size).argmax())
        value = float(found.deviation[worst] + constraint.values[worst])
        text = f"what is held stays at {value:.6g}, wanted is {float(constraint.values[worst]):.6g}; lam has gone from "
        text += f"{begin[0]:.6g} to {controls[0]:.6g}, gamma from {begin[1]:.6g} to {controls[1]:.6g}"
        return NumericalFailure(Status.NOT_HELD, text)
    return NumericalFailure(Status.CORRECTOR_DIVERGED, f"over what is allowed: {judged}")


def _noise(found: Round, constraint: Constraint | None, epochs: int) -> Float[Tensor, "3"]:
    """Standard errors of (R, D, C) as functions of the multipliers: their drift, and what the multipliers' drift means.

    What they drift by in the last epoch would have gone on through all epochs of the step without any motion.

    Args:
        found: The last round.
        constraint: What is held, or None.
        epochs: Epochs of the step.

    Returns:
        The errors in nats.
    """
    average = found.average
    noise = average.drift.abs() * epochs
    if constraint is not None and constraint.slopes is not None:
        moved = torch.linalg.lstsq(constraint.directions.T, average.halves[1] - average.halves[0]).solution
        noise = noise + epochs * constraint.weights.abs().T @ (constraint.slopes @ moved).abs()
    return noise


def _notes(found: Round, noise: Float[Tensor, "3"], epochs: int) -> Mapping[str, float]:
    """What a point's record says of its correction."""
    halves = (epochs * (found.average.halves[1] - found.average.halves[0])).abs().tolist()
    rate, distortion, _ = noise.tolist()
    return {
        "ageing": found.average.loss[0],
        "gradient_noise": found.average.gradient_noise,
        "lam_error": halves[0],
        "gamma_error": halves[1],
        "rate_error": rate,
        "distortion_error": distortion,
    }

"""Adam on minibatches while the multipliers go to the end of the step, then the mean θ̄ of whole epochs there."""

from dataclasses import dataclass
from typing import ClassVar

from rdc_dyn.curvature.free_energy import FreeEnergy
from rdc_dyn.dynamics.correctors.base import Constraint, Correction, Corrector, Departure
from rdc_dyn.dynamics.correctors.dual import Feedback
from rdc_dyn.dynamics.correctors.gradient import stream
from rdc_dyn.dynamics.correctors.minibatch_descent import Descent
from rdc_dyn.dynamics.state import State
from rdc_dyn.linalg.base import all_finite
from rdc_dyn.status import NumericalFailure, Status


@dataclass(frozen=True)
class EpochMean(Corrector):
    """One training whose multipliers move: a point is a mean over whole epochs, and no test of arrival is made.

    The iterate, moved by what is predicted for θ, its momentum and Adam's squares go on from point to point. A mean
    over an epoch takes away what noise adds to J, so that no epoch need be spent on lowering η.

    Attributes:
        batch: Data of the largest part in a minibatch.
        learning_rate: η of Adam.
        moving: Epochs in which the multipliers go to the end of the step.
        averaged: Epochs in the mean.
    """

    batch: int
    learning_rate: float
    moving: float
    averaged: float
    seed: int = 0
    averages: ClassVar[bool] = True

    def correct(
        self,
        free_energy: FreeEnergy,
        state: State,
        constraint: Constraint | None,
        departure: Departure | None = None,
    ) -> Correction:
        """Train through the step and average; fails with NON_FINITE."""
        theta, begin, memory = state.theta, state.controls, None
        if departure is not None:
            begin, memory = departure.at.controls, departure.memory
            assert memory is not None and memory.iterate is not None
            theta = memory.iterate + (theta - departure.at.theta)
        draws, rates = stream(self.seed, state.theta), (self.learning_rate, 0.0)
        descent = Descent(free_energy, theta, begin, None, Feedback(), memory, self.batch, rates, draws)
        descent.average(self.moving, self.learning_rate, base=(begin, state.controls))
        average = descent.average(self.averaged, self.learning_rate)
        if not all_finite(average.theta, average.readings):
            return Correction(state, None, descent.taken, Status.NON_FINITE, "a loss or a gradient of a minibatch")
        try:
            at = free_energy.linearise(average.theta, state.controls)
        except NumericalFailure as failure:
            return Correction(state, None, descent.taken, failure.status, failure.detail)
        return Correction(
            State(at.theta, at.controls), at, descent.taken, None,
            memory=descent.whole_memory,
            notes={"ageing": average.loss[0], "gradient_noise": average.gradient_noise},
            noise=(self.moving + self.averaged) * average.drift.abs(),
        )  # fmt: skip

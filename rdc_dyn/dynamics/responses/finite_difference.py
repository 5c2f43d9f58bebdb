"""Finite differences M ≈ [(R, D, C)(c + δe) − (R, D, C)(c)]/δ, with θ equilibrated anew at each c + δe (31)."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from rdc_dyn.curvature.free_energy import FreeEnergy
from rdc_dyn.curvature.linearisation import Linearisation
from rdc_dyn.dynamics.correctors.base import Corrector
from rdc_dyn.dynamics.responses.base import Known, Response, extrapolated, finite
from rdc_dyn.dynamics.state import State
from rdc_dyn.status import NumericalFailure, Status

_NAMES = ("lam", "gamma", "data_position")


@dataclass(frozen=True)
class FiniteDifference:
    """The paper's own recipe: difference neighbouring equilibria instead of differentiating one.

    A step costs two equilibrations, or three where the data move. M has an error of order δ, and another of |∇J|/δ
    where the corrector stops short of the surface: what it still improves at fixed multipliers is taken for response.
    With a reference, at the cost of one more equilibration, (R, D, C) and θ are differenced against those that the same
    corrector reaches at c itself with the same minibatches, and that error cancels to first order. Within a step, M is
    that of its start.

    Attributes:
        delta: δ of λ, γ and t; t − δ replaces t + δ where that leaves [0, 1].
        predictor: Whether to difference θ_c too; otherwise θ waits for the corrector.
        reference: Whether to equilibrate θ at c too.
    """

    corrector: Corrector
    delta: tuple[float, float, float] = (0.01, 0.01, 0.01)
    predictor: bool = False
    reference: bool = False
    tangent: bool = False

    def at_point(
        self, free_energy: FreeEnergy, at: Linearisation, before: Known | None, noise: Float[Tensor, "3"] | None = None
    ) -> Response:
        """Difference equilibria at λ + δ, γ + δ and, where the data move, t ± δ; fails as the corrector does."""
        here = self._equilibrated(free_energy, at, torch.zeros_like(at.controls)) if self.reference else at
        directions = at.theta.new_zeros((3, at.size))
        matrix, curvature = at.theta.new_zeros((3, 3)), 0.0
        for column in range(3 if free_energy.objective.moves else 2):
            step = self._step(at, column)
            there = self._equilibrated(free_energy, at, step)
            difference = float(step[column])
            matrix[:, column] = (there.functionals - here.functionals) / difference
            if self.predictor:
                directions[column] = (there.theta - here.theta) / difference
            if column == 2:
                curvature = float(there.forces[2] - here.forces[2]) / difference
        return finite(Response(directions, matrix, at.forces, at.functionals, curvature, 0, float("nan")))

    def at_stage(self, free_energy: FreeEnergy, state: State, start: Known) -> Response:
        """The response extrapolated with the M of the step's start."""
        return extrapolated(start, state)

    def _step(self, at: Linearisation, column: int) -> Tensor:
        step = torch.zeros_like(at.controls)
        delta = self.delta[column]
        backwards = column == 2 and float(at.controls[2]) + delta > 1
        step[column] = -delta if backwards else delta
        return step

    def _equilibrated(self, free_energy: FreeEnergy, at: Linearisation, step: Tensor) -> Linearisation:
        done = self.corrector.correct(free_energy, State(at.theta, at.controls + step), None)
        free_energy.work.corrector_iterations += done.iterations
        if done.at is None or done.failure is not None:
            moved = [f"{name} {change:+g}" for name, change in zip(_NAMES, step.tolist()) if change]
            detail = f"at {moved[0] if moved else 'the point itself'}: {done.detail}"
            raise NumericalFailure(done.failure or Status.NON_FINITE, detail)
        return done.at

"""∇_θ J = 0 and h(θ, c) = h₀: back to the equilibrium surface, and to the level set that the process holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from rdc_dyn.dynamics.state import State
from rdc_dyn.objective.free_energy import FreeEnergy, Linearisation
from rdc_dyn.status import Status


@dataclass(frozen=True)
class Constraint:
    """h = w·(R, D, C) is to have the value h₀.

    Attributes:
        weights: w.
        value: h₀ in nats.
        direction: Direction in (λ, γ, t) in which a corrector may move the controls, a unit vector.
    """

    weights: Float[Tensor, "3"]
    value: float
    direction: Float[Tensor, "3"]

    def residual(self, at: Linearisation) -> float:
        """h − h₀ in nats."""
        return float(torch.dot(self.weights, at.functionals)) - self.value


@dataclass(frozen=True)
class Correction:
    """Result of `Corrector.correct`.

    Attributes:
        state: The corrected state.
        at: Linearisation of ∇J there, for the response; None where the correction failed before it had one.
        iterations: Steps of the corrector.
        failure: None, or why the state must not be kept.
        detail: Numbers that belong to the failure.
    """

    state: State
    at: Linearisation | None
    iterations: int
    failure: Status | None
    detail: str = ""


class Corrector(Protocol):
    """Moves a state towards the equilibrium surface."""

    @property
    def holds_constraint(self) -> bool:
        """Whether it also restores the held functional."""
        ...

    def correct(self, free_energy: FreeEnergy, state: State, constraint: Constraint | None) -> Correction:
        """Correct `state`; a failed correction is reported, never raised."""
        ...

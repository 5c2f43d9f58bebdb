"""∇_θ J = 0 and h(θ, c) = h⁰: back to the equilibrium surface, and to the level set that the process holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from jaxtyping import Float
from torch import Tensor

from rdc_dyn.dynamics.state import State
from rdc_dyn.objective.free_energy import FreeEnergy
from rdc_dyn.objective.linearisation import Linearisation
from rdc_dyn.status import Status


@dataclass(frozen=True)
class Constraint:
    """h_i = w_i·(R, D, C) is to have the value h_i⁰, for m functionals and as many free directions of the controls.

    Attributes:
        weights: w, shape (m, 3).
        values: h⁰ in nats, shape (m,).
        directions: Directions in (λ, γ, t) in which a corrector may move the controls, shape (m, 3).
        responses: dθ/dd along the surface, shape (m, P), as the step lets it be expected at its end; or None.
    """

    weights: Float[Tensor, "m 3"]
    values: Float[Tensor, "m"]
    directions: Float[Tensor, "m 3"]
    responses: Float[Tensor, "m P"] | None = None

    def residual(self, at: Linearisation) -> Float[Tensor, "m"]:
        """h − h⁰ in nats."""
        return self.weights @ at.functionals - self.values


@dataclass(frozen=True)
class Correction:
    """Result of `Corrector.correct`.

    Attributes:
        state: The corrected state.
        at: Linearisation of ∇J there, for the response; None where the correction failed before it had one.
        iterations: Steps of the corrector.
        failure: None, or why the state must not be kept.
        detail: Numbers that belong to the failure.
        trace: J of all data at even intervals of the iterations, where the corrector was asked for it.
    """

    state: State
    at: Linearisation | None
    iterations: int
    failure: Status | None
    detail: str = ""
    trace: tuple[float, ...] = ()


class Corrector(Protocol):
    """Moves a state towards the equilibrium surface.

    Attributes:
        tolerance: |∇J| that a correction promises to reach, or None where it promises nothing.
    """

    @property
    def tolerance(self) -> float | None:
        """The promised |∇J|, or None."""
        ...

    def correct(self, free_energy: FreeEnergy, state: State, constraint: Constraint | None) -> Correction:
        """Correct `state`; a failed correction is reported, never raised."""
        ...

"""∇_θ J = 0 and h(θ, c) = h⁰: back to the equilibrium surface, and to the level set that the process holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from jaxtyping import Float
from torch import Tensor

from rdc_dyn.dynamics.state import State
from rdc_dyn.linalg.base import Vector
from rdc_dyn.objective.free_energy import FreeEnergy
from rdc_dyn.objective.graph import Controls
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
        slopes: dh/dd along the surface where the step began, shape (m, m); or None where no M is known.
    """

    weights: Float[Tensor, "m 3"]
    values: Float[Tensor, "m"]
    directions: Float[Tensor, "m 3"]
    responses: Float[Tensor, "m P"] | None = None
    slopes: Float[Tensor, "m m"] | None = None

    def residual(self, at: Linearisation) -> Float[Tensor, "m"]:
        """h − h⁰ in nats."""
        return self.weights @ at.functionals - self.values


@dataclass(frozen=True)
class Memory:
    """What minibatches have taught on the way to a point, besides θ; part of the point.

    Attributes:
        losses: (R, D, C) of each datum as an update last saw it, parts one after the other, shape (N, 3).
        squares: Adam's average of squared gradients, shape (P,).
        gain: m_hᵀ P m_u, shape (m, m); empty before anything was held.
        bias: What noise adds to (R, D, C) of the moving iterate, in nats per unit of the learning rate, shape (3,).
        updates: Number of updates so far.
    """

    losses: Float[Tensor, "N 3"]
    squares: Vector
    gain: Float[Tensor, "m m"]
    bias: Float[Tensor, "3"]
    updates: int


@dataclass(frozen=True)
class Departure:
    """Where the step began that a correction ends.

    Attributes:
        controls: (λ, γ, t).
        forces: ∂J/∂(λ, γ, t) there, in nats.
        memory: What minibatches had taught by then, where the corrector keeps it.
        notes: What the correction there said of itself.
    """

    controls: Controls
    forces: Float[Tensor, "3"]
    memory: Memory | None
    notes: Mapping[str, float]


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
        memory: What minibatches have taught; part of the point.
        growth: How much longer the next step may be than this one; None leaves that to the step size.
        notes: Numbers for the record, by name.
        noise: Standard errors of (R, D, C) in nats, where they are estimates; shape (3,).
    """

    state: State
    at: Linearisation | None
    iterations: int
    failure: Status | None
    detail: str = ""
    trace: tuple[float, ...] = ()
    memory: Memory | None = None
    growth: float | None = None
    notes: Mapping[str, float] = field(default_factory=dict)
    noise: Float[Tensor, "3"] | None = None


class Corrector(Protocol):
    """Moves a state towards the equilibrium surface.

    Attributes:
        tolerance: |∇J| that a correction promises to reach, or None where it promises nothing.
    """

    @property
    def tolerance(self) -> float | None:
        """The promised |∇J|, or None."""
        ...

    def correct(
        self,
        free_energy: FreeEnergy,
        state: State,
        constraint: Constraint | None,
        departure: Departure | None = None,
    ) -> Correction:
        """Correct `state`; a failed correction is reported, never raised."""
        ...

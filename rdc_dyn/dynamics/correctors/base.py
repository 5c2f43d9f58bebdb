"""Interface of the correctors, which bring a state back to ∇_θ J = 0 and to the held values h(θ, c) = h⁰."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from rdc_dyn.curvature.free_energy import FreeEnergy
from rdc_dyn.curvature.linearisation import Linearisation
from rdc_dyn.dynamics.state import State
from rdc_dyn.linalg.base import Rows, Vector
from rdc_dyn.status import Status


@dataclass(frozen=True)
class Constraint:
    """m held functionals, h_i = w_i·(R, D, C) = h_i⁰, with one free direction d of the controls for each.

    Attributes:
        weights: w, shape (m, 3).
        values: h⁰ in nats, shape (m,).
        directions: Directions d in (λ, γ, t) along which a corrector may move the controls, shape (m, 3).
        slopes: dh/dd along the surface at the start of the step, shape (m, m); None if M is not known.
    """

    weights: Float[Tensor, "m 3"]
    values: Float[Tensor, "m"]
    directions: Float[Tensor, "m 3"]
    slopes: Float[Tensor, "m m"] | None = None

    def residual(self, at: Linearisation) -> Float[Tensor, "m"]:
        """h − h⁰ in nats."""
        return self.weights @ at.functionals - self.values


@dataclass(frozen=True)
class Memory:
    """What a minibatch corrector carries from point to point besides θ.

    Attributes:
        losses: (R, D, C) of each datum at its last update, in nats, parts concatenated, shape (N, 3).
        squares: Adam's running average of squared gradients, shape (P,).
        gain: Running average of m_hᵀ P m_u, shape (m, m); empty before anything was held.
        bias: What noise adds to (R, D, C) of the moving iterate at two learning rates, in nats, shape (2, 3).
        doubt: Error of the bias: how far the last observation was from those before, in nats, shape (2, 3).
        updates: Number of updates so far.
        iterate: Last iterate, shape (P,); None where the next correction begins at the mean.
        momenta: Running averages of gradients, shape (k, P); None where the next correction begins without momentum.
        origin: θ and controls where the last step began; None before the first, and where θ is not carried on.
    """

    losses: Float[Tensor, "N 3"]
    squares: Vector
    gain: Float[Tensor, "m m"]
    bias: Float[Tensor, "2 3"]
    doubt: Float[Tensor, "2 3"]
    updates: int
    iterate: Vector | None = None
    momenta: Rows | None = None
    origin: State | None = None


@dataclass(frozen=True)
class Departure:
    """Start of the step that a correction completes.

    Attributes:
        at: Linearisation of ∇J there.
        memory: Memory of the corrector at that point; None if it keeps none.
        notes: Notes of the correction that led there.
        responses: θ_c there, shape (3, P); None if not known.
        expected: θ_c extrapolated along the surface to the end of the step, shape (3, P); None if not known.
    """

    at: Linearisation
    memory: Memory | None
    notes: Mapping[str, float]
    responses: Float[Tensor, "3 P"] | None = None
    expected: Float[Tensor, "3 P"] | None = None


@dataclass(frozen=True)
class Correction:
    """Result of `Corrector.correct`.

    Attributes:
        state: The corrected state.
        at: Linearisation of ∇J there, which the response reuses; None if the correction failed before it had one.
        iterations: Corrector steps taken.
        failure: None, or why the state must be rejected.
        detail: Numbers that explain the failure.
        trace: J and ‖∇J‖ over all data at even intervals of the iterations, if the corrector was asked for it.
        memory: What the corrector carries to the next point; None if it keeps nothing.
        growth: Factor by which the next step may be longer than this one; None leaves it to the step-size rule.
        notes: Numbers for the record, by name.
        noise: Standard errors of (R, D, C) in nats if these are estimates, shape (3,).
    """

    state: State
    at: Linearisation | None
    iterations: int
    failure: Status | None
    detail: str = ""
    trace: tuple[tuple[float, float], ...] = ()
    memory: Memory | None = None
    growth: float | None = None
    notes: Mapping[str, float] = field(default_factory=dict)
    noise: Float[Tensor, "3"] | None = None


class Corrector(ABC):
    """Brings a state back towards the equilibrium surface.

    Attributes:
        averages: Whether it records means over epochs of minibatches; the start is such a mean then, too.
    """

    averages: ClassVar[bool] = False

    @property
    def promised(self) -> float | None:
        """‖∇J‖ that a correction promises to reach; None if it promises nothing."""
        return None

    @abstractmethod
    def correct(
        self,
        free_energy: FreeEnergy,
        state: State,
        constraint: Constraint | None,
        departure: Departure | None = None,
    ) -> Correction:
        """Correct `state`; a failed correction is reported, never raised.

        Args:
            free_energy: J.
            state: Where the integrator arrived.
            constraint: What to hold besides equilibrium, or None.
            departure: Where the step began; None for a correction that completes no step.

        Returns:
            The corrected state, or the failure.
        """

"""u(e): how free multipliers answer to the deviation e of what is held while θ moves by minibatches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

#: Share by which the average of the deviation follows one update.
_SMOOTHING = 1 / 5
#: Largest deviation that a controller answers to, as a share of the size of what is held.
_CLIP = 0.1
#: Share of a deviation that one update may remove at most; faster feedback oscillates with Adam's momentum.
_FASTEST = 1 / 12


@dataclass(frozen=True)
class Controlled:
    """Where a controller stands.

    Attributes:
        amount: ū, the slow part of what is added to the multipliers along the free directions, shape (m,).
        error: The smoothed deviation h − h⁰ in nats, shape (m,).
        used: u, what is added to the multipliers in the next update, shape (m,).
    """

    amount: Float[Tensor, "m"]
    error: Float[Tensor, "m"]
    used: Float[Tensor, "m"]


@dataclass(frozen=True)
class Plant:
    """What a controller acts on.

    Attributes:
        gain: −dh/du of one update, shape (m, m): η m_hᵀ P m_u with the momenta m of ∇h and of what u multiplies.
        slopes: dh/du along the equilibrium surface, as far as the path knows it, shape (m, m).
        size: Of what is held, in nats, shape (m,).
        multiplier: Value of the multiplier that each free direction moves, shape (m,).
    """

    gain: Float[Tensor, "m m"]
    slopes: Float[Tensor, "m m"]
    size: Float[Tensor, "m"]
    multiplier: Float[Tensor, "m"]


class DualRule(Protocol):
    """A controller of the free multipliers.

    Attributes:
        metered: Whether it reads the deviation of all data through the table of losses, or that of the minibatch alone.
        arrives: Whether a correction is judged by the tests of arrival, or ends after its epochs, wherever it is.
    """

    metered: ClassVar[bool]
    arrives: ClassVar[bool]

    def step(self, at: Controlled, deviation: Float[Tensor, "m"], plant: Plant) -> Controlled:
        """The controller after an update whose reading deviates by so much from what is held."""
        ...


@dataclass(frozen=True)
class Feedback:
    """u = ū + K e, ū̇ = ι K e with K = −κ (dh/du)⁻¹, the surface's own response: gains that nobody tunes.

    u = −(dh/du)⁻¹ e is what would undo e on the surface. θ answers at once through its fast directions alone, by the
    plant's gain G = η m_hᵀ P m_u, and feedback by that gain overshoots what the surface asks for (γ 10 → 20 → 13 in one
    step of an MNIST path). So K is the surface's, and the plant's only bounds it: |K e| ≤ |ν G⁻¹ e|, no more than a
    share ν of e gone with one update. The ratio of the two, π = |(dh/du)⁻¹ e| / |G⁻¹ e|, is the pace at which h follows
    u, and the integral goes by it: ι = ι₀ π, so that no gain depends on η. A plant of this one time constant answers by
    π (−3 ± i√15)/2 for κ = 2 and ι₀ = 3, damped to 0.6; slower directions of θ take nothing from that.

    Attributes:
        gain: κ.
        integral: ι₀.
    """

    gain: float = 2.0
    integral: float = 3.0
    metered: ClassVar[bool] = True
    arrives: ClassVar[bool] = True

    def step(self, at: Controlled, deviation: Float[Tensor, "m"], plant: Plant) -> Controlled:
        """Smooth, clip, answer."""
        bound = _CLIP * plant.size
        error = at.error + _SMOOTHING * (deviation - at.error)
        error = torch.minimum(torch.maximum(error, -bound), bound)
        by_surface = -torch.linalg.solve_ex(plant.slopes, error[:, None])[0][:, 0]
        by_plant = torch.linalg.solve_ex(plant.gain, error[:, None])[0][:, 0]
        pace = by_surface.norm() / by_plant.norm().clamp_min(torch.finfo(error.dtype).tiny)
        answer = by_surface * torch.minimum(pace.new_tensor(self.gain), _FASTEST / pace)
        amount = at.amount + (self.integral * pace).clamp_max(_FASTEST) * answer
        return Controlled(amount, error, amount + answer)


@dataclass(frozen=True)
class Geco:
    """γ ← γ exp(r ē/|h|) with the moving average ē of the minibatches' deviation (Rezende & Viola 2018).

    Attributes:
        smoothing: Of the moving average.
        rate: r.
    """

    smoothing: float
    rate: float
    metered: ClassVar[bool] = False
    arrives: ClassVar[bool] = False

    def step(self, at: Controlled, deviation: Float[Tensor, "m"], plant: Plant) -> Controlled:
        """A multiplicative step; nothing is known of the plant."""
        error = self.smoothing * at.error + (1 - self.smoothing) * deviation
        value = plant.multiplier + at.amount
        amount = value * torch.exp(self.rate * (error / plant.size).clamp(-1, 1)) - plant.multiplier
        return Controlled(amount, error, amount)


@dataclass(frozen=True)
class NuPi:
    """u = κᵢ ∫ e + κₚ ξ with ξ an average of e over 1/(1 − ν) updates (Sohrabi et al. 2024).

    Attributes:
        proportional: κₚ, in units of γ/|h|.
        integral: κᵢ per update, in units of γ/|h|.
        smoothing: ν.
    """

    proportional: float
    integral: float
    smoothing: float
    metered: ClassVar[bool] = False
    arrives: ClassVar[bool] = False

    def step(self, at: Controlled, deviation: Float[Tensor, "m"], plant: Plant) -> Controlled:
        """An integral of the deviation, and a multiple of its average."""
        unit = plant.multiplier.abs() / plant.size
        error = self.smoothing * at.error + (1 - self.smoothing) * deviation
        amount = at.amount + self.integral * unit * deviation
        return Controlled(amount, error, amount + self.proportional * unit * error)

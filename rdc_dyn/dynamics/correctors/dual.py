"""Rules u(e) by which free multipliers respond to the deviation e of held functionals during minibatch updates."""

from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

#: Weight of the newest reading in the moving average of the deviation.
_SMOOTHING = 1 / 5
#: Largest deviation that a controller responds to, as a share of the size of the held functional.
_CLIP = 0.1
#: Largest share of a deviation that one update may remove; faster feedback oscillates with Adam's momentum.
_FASTEST = 1 / 12
#: Largest share of itself by which a free multiplier moves at once: M may be far off, and where θ is slow to respond,
#: the integral of feedback winds up.
FURTHEST = 0.3


@dataclass(frozen=True)
class Controlled:
    """State of a controller.

    Attributes:
        amount: ū, the slow part of u.
        error: Smoothed deviation h − h⁰ in nats.
        used: u, the amount that the next update adds to the multipliers along the free directions.
    """

    amount: Float[Tensor, "m"]
    error: Float[Tensor, "m"]
    used: Float[Tensor, "m"]


@dataclass(frozen=True)
class Plant:
    """What a controller acts on.

    Attributes:
        gain: −dh/du of one update, η m_hᵀ P m_u with the momenta m of ∇h and of the gradients that u multiplies.
        slopes: dh/du along the equilibrium surface, as far as the path knows it.
        size: Size of each held functional, in nats.
        doubt: Error of the deviation, in nats: how far off what noise adds may be.
        multiplier: Value of the multiplier that each free direction moves.
    """

    gain: Float[Tensor, "m m"]
    slopes: Float[Tensor, "m m"]
    size: Float[Tensor, "m"]
    doubt: Float[Tensor, "m"]
    multiplier: Float[Tensor, "m"]


class DualRule(Protocol):
    """A controller of the free multipliers.

    Attributes:
        metered: Whether it reads the deviation over all data from the table of losses, or that of the minibatch alone.
        arrives: Whether a correction must pass the tests of arrival, or is accepted after all its epochs regardless.
    """

    metered: ClassVar[bool]
    arrives: ClassVar[bool]

    def step(self, at: Controlled, deviation: Float[Tensor, "m"], plant: Plant) -> Controlled:
        """Advance the controller by one update, given the measured deviation h − h⁰."""
        ...


@dataclass(frozen=True)
class Feedback:
    """u = ū + K e, ū̇ = ι K e with K = −κ (dh/du)⁻¹, the response of the surface itself: gains that need no tuning.

    u = −(dh/du)⁻¹ e would undo e on the surface. θ responds at once only along its fast directions, by the plant's gain
    G = η m_hᵀ P m_u, and feedback by that gain overshoots what the surface asks for (γ 10 → 20 → 13 in one step of an
    MNIST path). So K is that of the surface, and the plant's gain only bounds it: |K e| ≤ |ν G⁻¹ e|, so that one update
    removes at most a share ν of e. The ratio π = |(dh/du)⁻¹ e| / |G⁻¹ e| is the pace at which h follows u. It sets the
    integral rate, ι = ι₀ π, so that no gain depends on η. A plant with this one time constant has the closed-loop poles
    π (−3 ± i√15)/2 for κ = 2 and ι₀ = 3, a damping ratio of 0.6, which slower directions of θ do not reduce.

    Attributes:
        gain: κ.
        integral: ι₀.
    """

    gain: float = 2.0
    integral: float = 3.0
    metered: ClassVar[bool] = True
    arrives: ClassVar[bool] = True

    def step(self, at: Controlled, deviation: Float[Tensor, "m"], plant: Plant) -> Controlled:
        """Smooth and clip the deviation, then respond to what exceeds its error, in proportion and by its integral."""
        bound = _CLIP * plant.size
        error = at.error + _SMOOTHING * (deviation - at.error)
        error = error.clamp(-bound, bound)
        certain = error - error.clamp(-plant.doubt, plant.doubt)
        both = torch.stack([-plant.slopes, plant.gain])
        by_surface, by_plant = torch.linalg.solve_ex(both, certain[:, None])[0][..., 0]
        pace = by_surface.norm() / by_plant.norm().clamp_min(torch.finfo(error.dtype).tiny)
        answer = by_surface * torch.minimum(pace.new_tensor(self.gain), _FASTEST / pace)
        amount = at.amount + (self.integral * pace).clamp_max(_FASTEST) * answer
        most = FURTHEST * plant.multiplier.abs()
        return Controlled(amount.clamp(-most, most), error, (amount + answer).clamp(-most, most))


@dataclass(frozen=True)
class Geco:
    """γ ← γ exp(r ē/|h|) with the moving average ē of the minibatches' deviation (Rezende & Viola 2018).

    Attributes:
        smoothing: Decay rate of the moving average.
        rate: r.
    """

    smoothing: float
    rate: float
    metered: ClassVar[bool] = False
    arrives: ClassVar[bool] = False

    def step(self, at: Controlled, deviation: Float[Tensor, "m"], plant: Plant) -> Controlled:
        """Scale the multiplier by the averaged deviation; the response of the plant is not used."""
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
        """Respond with the integral of the deviation plus a multiple of its average."""
        unit = plant.multiplier.abs() / plant.size
        error = self.smoothing * at.error + (1 - self.smoothing) * deviation
        amount = at.amount + self.integral * unit * deviation
        return Controlled(amount, error, amount + self.proportional * unit * error)

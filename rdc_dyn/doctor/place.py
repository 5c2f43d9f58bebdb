"""A state (θ, λ, γ, t) with the scales of J there, which set the steps and bounds of all finite differences."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import torch
from torch import Tensor

from rdc_dyn.dynamics import State
from rdc_dyn.linalg.base import Rows, Vector
from rdc_dyn.objective import FreeEnergy, Linearisation
from rdc_dyn.objective.graph import Controls
from rdc_dyn.status import NumericalFailure

T = TypeVar("T", float, Tensor)

#: A difference of four values at ± h and ± 2h has a rounding error ε E/h, where E is the size of what is subtracted,
#: and a truncation error h⁴ ∂⁵J/30 ~ (h/ℓ)⁴ E/ℓ/30, where ℓ is the distance over which J bends. The step h = ε^{1/3} L,
#: optimal for two values if J bends within L, makes the rounding error ε^{2/3} of E/L and leaves room for truncation:
#: along ∇J networks bend within L/10 and less, which would spoil a difference of two values in float32. Sums over data
#: and codes raise the rounding error. A hundred times as much is 4e-9 in float64 and 2e-3 in float32, whereas a wrong
#: formula is off by whole digits.
_DIFFERENCE = 100.0
#: Two ways to compute the same number, such as sums in another order, differ by a few ε E.
_ROUNDING = 1e3
#: J changes over about the size of λ and γ themselves, or over this if they are smaller.
_SMALLEST_CONTROL = 0.1


@dataclass(frozen=True)
class Stencil:
    """Four states on a line.

    Attributes:
        near: The states at h and −h.
        far: The states at 2h and −2h.
        step: The step h.
    """

    near: tuple[State, State]
    far: tuple[State, State]
    step: float

    def slope(self, f: Callable[[State], T]) -> T:
        """(8 (f(h) − f(−h)) − (f(2h) − f(−2h))) / 12h, for a number or a tensor f."""
        (plus, minus), (beyond, behind) = ((f(a), f(b)) for a, b in (self.near, self.far))
        return (8 * (plus - minus) - (beyond - behind)) / (12 * self.step)

    @cached_property
    def direction(self) -> Vector:
        """dθ/dh as it really is: rounding of θ ± h v changes the step."""
        return self.slope(lambda state: state.theta)

    @cached_property
    def rates(self) -> Controls:
        """d(λ, γ, t)/dh, with the same rounding."""
        return self.slope(lambda state: state.controls)


@dataclass(frozen=True)
class Place:
    """A state at which derivatives are checked.

    Attributes:
        free_energy: J + ½ρ|θ|².
        seed: Seed of the random directions.
    """

    free_energy: FreeEnergy
    state: State
    seed: int = 0

    @cached_property
    def at(self) -> Linearisation:
        """Derivatives at the state."""
        return self.free_energy.linearise(self.state.theta, self.state.controls)

    @property
    def exists(self) -> bool:
        """Whether J and its first derivatives are finite."""
        try:
            return self.at.size > 0
        except (RuntimeError, NumericalFailure):
            return False

    @property
    def eps(self) -> float:
        """Machine epsilon ε of the dtype of θ."""
        return torch.finfo(self.state.theta.dtype).eps

    @cached_property
    def length(self) -> float:
        """L = max(|θ|, 1), the distance in θ over which J changes."""
        return max(float(self.state.theta.norm()), 1.0)

    @cached_property
    def energy(self) -> float:
        """E = |J| + L|∇J| in nats, the scale of J: rounding errors of J are ε E, and its k-th derivatives are E/L^k."""
        return abs(self.at.value) + self.length * self.at.residual

    @property
    def difference_bound(self) -> float:
        """Relative error that a finite difference may have."""
        return _DIFFERENCE * self.eps ** (2 / 3)

    @property
    def rounding_bound(self) -> float:
        """Relative error that two ways to compute the same number may have."""
        return _ROUNDING * self.eps

    def control_scale(self, number: int) -> float:
        """The distance in λ, γ or t over which J changes."""
        return 1.0 if number == 2 else max(abs(float(self.state.controls[number])), _SMALLEST_CONTROL)

    def directions(self, count: int) -> Rows:
        """Random unit vectors of θ, shape (count, P)."""
        generator = torch.Generator().manual_seed(self.seed)
        rows = torch.randn(count, self.state.theta.shape[0], generator=generator, dtype=torch.float64)
        return (rows / rows.norm(dim=1, keepdim=True)).to(self.state.theta)

    @property
    def steepest(self) -> Vector:
        """∇J / |∇J|, in which every part of ∇J shows; zero where ∇J vanishes."""
        return self.at.gradient / max(self.at.residual, math.sqrt(torch.finfo(self.state.theta.dtype).tiny))

    def around(
        self,
        share: float,
        direction: Vector | None = None,
        rates: Controls | None = None,
        scale: float | None = None,
    ) -> Stencil:
        """States for differences along a direction of θ and rates of (λ, γ, t), with a share of the usual step.

        `scale` is the distance along the line over which J changes; None is L.
        """
        theta, controls = self.state.theta, self.state.controls
        h = share * self.eps ** (1 / 3) * (self.length if scale is None else scale)
        v = torch.zeros_like(theta) if direction is None else direction
        c = torch.zeros_like(controls) if rates is None else rates

        def pair(step: float) -> tuple[State, State]:
            return State(theta + step * v, controls + step * c), State(theta - step * v, controls - step * c)

        return Stencil(pair(h), pair(2 * h), h)

    def around_control(self, share: float, number: int) -> Stencil:
        """States for differences in λ, γ or t, with a share of the usual step."""
        unit = torch.zeros_like(self.state.controls)
        unit[number] = 1
        return self.around(share, rates=unit, scale=self.control_scale(number))

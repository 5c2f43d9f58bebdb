"""A state (θ, λ, γ, t) with the scales of J there, which set the steps and bounds of all finite differences."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

import torch
from torch import Tensor

from rdc_dyn.curvature.free_energy import FreeEnergy
from rdc_dyn.curvature.linearisation import Linearisation
from rdc_dyn.dynamics import State
from rdc_dyn.linalg.base import Controls, Rows, Vector
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
class Line:
    """The states (θ + h v, c + h ċ); `scale` is the distance over which J changes, `share` that of the usual step."""

    start: State
    velocity: State
    scale: float
    share: float = 1.0

    @property
    def step(self) -> float:
        """The step h of differences."""
        return self.share * torch.finfo(self.start.theta.dtype).eps ** (1 / 3) * self.scale

    def slope(self, f: Callable[[Vector, Controls], T]) -> T:
        """(8 (f(h) − f(−h)) − (f(2h) − f(−2h))) / 12h, for a number or a tensor f."""

        def at(h: float) -> T:
            return f(self.start.theta + h * self.velocity.theta, self.start.controls + h * self.velocity.controls)

        h = self.step
        return (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)

    @cached_property
    def rates(self) -> State:
        """d(θ, λ, γ, t)/dh as it really is: rounding of θ ± h v changes the step."""
        return State(self.slope(lambda theta, _: theta), self.slope(lambda _, controls: controls))

    def settled(self, error: Callable[[Line], float], enough: float) -> float:
        """The error with the usual step, or with a tenth of it if J bends on a shorter scale."""
        # A wrong formula fails with both. Along its gradient the importance-weighted bound bends within L/100, which
        # the usual step in float32 cannot follow.
        usual = error(self)
        return usual if usual <= enough else min(usual, error(replace(self, share=0.1)))


@dataclass(frozen=True)
class ScaledState:
    """A state at which derivatives of J + ½ρ|θ|² are checked; `seed` is that of the random directions."""

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

    @cached_property
    def length(self) -> float:
        """L = max(|θ|, 1), the distance in θ over which J changes."""
        return max(float(self.state.theta.norm()), 1.0)

    @cached_property
    def energy(self) -> float:
        """E = |J| + L|∇J| in nats, the scale of J: rounding errors of J are ε E, and its k-th derivatives are E/L^k."""
        return abs(self.at.value) + self.length * self.at.residual

    @property
    def curvature(self) -> float:
        """E/L², the scale of A."""
        return self.energy / self.length**2

    def control_scale(self, number: int) -> float:
        """The distance in λ, γ or t over which J changes."""
        return 1.0 if number == 2 else max(abs(float(self.state.controls[number])), _SMALLEST_CONTROL)

    def difference_bound(self) -> float:
        """Relative error that a finite difference may have."""
        return _DIFFERENCE * torch.finfo(self.state.theta.dtype).eps ** (2 / 3)

    def rounding_bound(self) -> float:
        """Relative error that two ways to compute the same number may have."""
        return _ROUNDING * torch.finfo(self.state.theta.dtype).eps

    def directions(self, count: int) -> Rows:
        """Random unit vectors of θ, shape (count, P)."""
        generator = torch.Generator().manual_seed(self.seed)
        rows = torch.randn(count, self.state.theta.shape[0], generator=generator, dtype=torch.float64)
        return (rows / rows.norm(dim=1, keepdim=True)).to(self.state.theta)

    def lines(self, count: int) -> list[Line]:
        """Lines along ∇J, in which every part of ∇J shows, and along random directions of θ."""
        steepest = self.at.gradient / max(self.at.residual, math.sqrt(torch.finfo(self.state.theta.dtype).tiny))
        still = torch.zeros_like(self.state.controls)
        return [Line(self.state, State(v, still), self.length) for v in (steepest, *self.directions(count))]

    def control_line(self, number: int) -> list[Line]:
        """The line along λ, γ or t."""
        unit = torch.eye(3)[number].to(self.state.controls)
        return [Line(self.state, State(torch.zeros_like(self.state.theta), unit), self.control_scale(number))]

    def joint_line(self) -> list[Line]:
        """A line on which θ and all controls move."""
        scales = [self.control_scale(0), self.control_scale(1), float(self.free_energy.objective.moves)]
        rates = self.state.controls.new_tensor(scales) / self.length
        return [Line(self.state, State(self.directions(2)[1], rates), self.length)]

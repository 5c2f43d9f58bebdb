"""(θ, λ, γ, t) with the scales of J there: steps and bounds of all differences follow from them and from rounding."""

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

#: A difference of four values at ± h and ± 2h is wrong by rounding, ε E/h, where E is the size of what is subtracted,
#: and by what it leaves out, h⁴ ∂⁵J/30 ~ (h/ℓ)⁴ E/ℓ/30, where ℓ is the distance over which J bends. h = ε^{1/3} L, the
#: best step for two values where J bends within L, makes the first ε^{2/3} of E/L and leaves room for the second: along
#: ∇J networks bend within L/10 and less, which two values in float32 would feel. Sums over data and codes raise the
#: first; a hundred times as much is 4e-9 in float64 and 2e-3 in float32, and a wrong formula is off by whole digits.
_DIFFERENCE = 100.0
#: Two ways to the same number, such as sums in another order, part by a few ε E.
_ROUNDING = 1e3
#: λ and γ change J over about their own size; where they are tiny, over this.
_SMALLEST_CONTROL = 0.1


@dataclass(frozen=True)
class Stencil:
    """Four states on a line.

    Attributes:
        near: Those at h and −h.
        far: Those at 2h and −2h.
        step: h.
    """

    near: tuple[State, State]
    far: tuple[State, State]
    step: float

    def slope(self, f: Callable[[State], T]) -> T:
        """(8 (f(h) − f(−h)) − (f(2h) − f(−2h))) / 12h, for numbers or tensors f."""
        (plus, minus), (beyond, behind) = ((f(a), f(b)) for a, b in (self.near, self.far))
        return (8 * (plus - minus) - (beyond - behind)) / (12 * self.step)

    @cached_property
    def direction(self) -> Vector:
        """How θ changes: θ ± h v are rounded, and this is the step that was really made."""
        return self.slope(lambda state: state.theta)

    @cached_property
    def rates(self) -> Controls:
        """How (λ, γ, t) change."""
        return self.slope(lambda state: state.controls)


@dataclass(frozen=True)
class Place:
    """A state at which derivatives are looked at.

    Attributes:
        free_energy: J + ½ρ|θ|².
        state: θ and controls.
        seed: Seed of the directions.
    """

    free_energy: FreeEnergy
    state: State
    seed: int = 0

    @cached_property
    def at(self) -> Linearisation:
        """Derivatives at the state itself."""
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
        """ε of the floating-point numbers."""
        return torch.finfo(self.state.theta.dtype).eps

    @cached_property
    def length(self) -> float:
        """L: the distance in θ over which J changes, |θ| or 1."""
        return max(float(self.state.theta.norm()), 1.0)

    @cached_property
    def energy(self) -> float:
        """E = |J| + L|∇J| in nats, what J is made of: its rounding errors are ε E, its k-th derivatives E/L^k."""
        return abs(self.at.value) + self.length * self.at.residual

    @property
    def difference_bound(self) -> float:
        """Relative error that a difference may have."""
        return _DIFFERENCE * self.eps ** (2 / 3)

    @property
    def rounding_bound(self) -> float:
        """Relative error of two ways to the same number."""
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
        """∇J / |∇J|, in which every part of ∇J shows; zero where it vanishes."""
        return self.at.gradient / max(self.at.residual, math.sqrt(torch.finfo(self.state.theta.dtype).tiny))

    def around(
        self,
        share: float,
        direction: Vector | None = None,
        rates: Controls | None = None,
        scale: float | None = None,
    ) -> Stencil:
        """States for differences along a direction.

        Args:
            share: Of the usual step.
            direction: Of θ, shape (P,); None for none.
            rates: Of (λ, γ, t); None for none.
            scale: Distance along the direction over which J changes; None for L.

        Returns:
            The states.
        """
        theta, controls = self.state.theta, self.state.controls
        h = share * self.eps ** (1 / 3) * (self.length if scale is None else scale)
        v = torch.zeros_like(theta) if direction is None else direction
        c = torch.zeros_like(controls) if rates is None else rates

        def pair(step: float) -> tuple[State, State]:
            return State(theta + step * v, controls + step * c), State(theta - step * v, controls - step * c)

        return Stencil(pair(h), pair(2 * h), h)

    def around_control(self, share: float, number: int) -> Stencil:
        """States for differences in λ, γ or t, by a share of the usual step."""
        unit = torch.zeros_like(self.state.controls)
        unit[number] = 1
        return self.around(share, rates=unit, scale=self.control_scale(number))

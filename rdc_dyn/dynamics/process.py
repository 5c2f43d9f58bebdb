"""Processes: the rates (λ̇, γ̇, ṫ) of the controls from the response matrix M, and the functionals they hold."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from rdc_dyn.linalg.base import Controls
from rdc_dyn.status import NumericalFailure, Status, UserError

Matrix = Float[Tensor, "3 3"]
Triple = Float[Tensor, "3"]
Weights = tuple[float, float, float]


@dataclass(frozen=True)
class SurfacePoint:
    """The surface near one equilibrium, which is all that a process may look at.

    Attributes:
        controls: (λ, γ, t), shape (3,).
        matrix: M = d(R, D, C)/d(λ, γ, t) along the surface, shape (3, 3).
        forces: ∂J/∂(λ, γ, t) at fixed θ, that is (D, C, ∂F/∂t), in nats, shape (3,).
        rate: R in nats.
    """

    controls: Controls
    matrix: Matrix
    forces: Triple
    rate: float = math.nan


class Process(ABC):
    """A rule by which the controls (λ, γ, t) move along a clock s.

    A process of one's own gives its `span` and its `rates` and, where functionals are to stay constant, what is `held`.
    The other methods have defaults that serve for it.

    Attributes:
        span: First and last value of the clock; the last may be the smaller.
        held: Weights w of each functional w·(R, D, C) that stays constant: none, one or two.
    """

    span: tuple[float, float]
    held: tuple[Weights, ...] = ()

    @abstractmethod
    def rates(self, s: float, here: SurfacePoint) -> Triple:
        """d(λ, γ, t)/ds.

        Args:
            s: Clock.
            here: The surface at the current state.

        Returns:
            The rates, shape (3,), in any floating-point type.

        Raises:
            NumericalFailure: If M gives the process no direction.
        """

    def velocity(self, s: float, here: SurfacePoint) -> Triple:
        """`rates` in the type and on the device of the controls.

        Args:
            s: Clock.
            here: The surface at the current state.

        Returns:
            d(λ, γ, t)/ds, shape (3,).

        Raises:
            UserError: If they are no tensor of three numbers.
            NumericalFailure: As `rates` does.
        """
        rates = self.rates(s, here)
        if not isinstance(rates, Tensor) or rates.shape != (3,):
            got = tuple(rates.shape) if isinstance(rates, Tensor) else type(rates).__name__
            raise UserError(f"process: {type(self).__name__}.rates gives {got}; expected a tensor of shape (3,)")
        return rates.to(here.controls)

    def free_directions(self, here: SurfacePoint) -> Float[Tensor, "m 3"]:
        """Directions in (λ, γ, t) along which a corrector may restore the held functionals, one for each.

        By default the gradient of what is held in (λ, γ), the shortest way back, or both multipliers for two.

        Args:
            here: The surface at the current state.

        Returns:
            The directions, shape (m, 3).

        Raises:
            NumericalFailure: DEGENERATE_CONSTRAINT if, to rounding, the multipliers do not move what is held.
        """
        if len(self.held) != 1:
            return torch.eye(3, dtype=here.matrix.dtype, device=here.matrix.device)[: len(self.held)]
        row = here.matrix.new_tensor(self.held[0]) @ here.matrix[:, :2]
        return torch.cat([row / size_of(row, here.matrix, self.held[0]), row.new_zeros(1)])[None]

    def prescribed(self, s: float, like: Controls) -> Controls | None:
        """The controls, if they are given functions of the clock; by default they follow from `rates`.

        Args:
            s: Clock.
            like: Controls whose dtype and device the result takes.

        Returns:
            (λ, γ, t) at s, or None.
        """
        return None

    def divisors(self, here: SurfacePoint) -> dict[str, tuple[float, Status]]:
        """What the rates are divided by; none of it may change sign within a step. By default nothing.

        Args:
            here: The surface at the current state.

        Returns:
            By name, the value and the status with which a run ends where it vanishes.
        """
        return {}

    def frame(self, controls: Controls) -> Float[Tensor, "f"]:
        """2 − m differentiable functions of the controls that stay constant along with the m held functionals."""
        # A path that is known by its clock alone cannot be followed round a turn of the clock.
        raise UserError(f"process.on_fold: follow needs {type(self).__name__}.frame; write it, or use stop or relax")

    def elapsed(self, before: SurfacePoint, after: SurfacePoint) -> float:
        """Process time between two neighbouring points of a path that may have turned round; not negative."""
        raise UserError(f"process.on_fold: follow needs {type(self).__name__}.elapsed; write it, or use stop or relax")


def size_of(tangent: Tensor, matrix: Matrix, weights: Weights) -> float:
    """|tangent| of derivatives of w·(R, D, C)."""
    # The rows of M set the scale of rounding, each by its weight: where D varies by hundreds, C may by thousandths.
    size = float(tangent.norm())
    scale = max(1.0, float((matrix.new_tensor(weights).abs() @ matrix.abs()).norm()))
    if not size > 1e2 * torch.finfo(matrix.dtype).eps * scale:
        raise NumericalFailure(Status.DEGENERATE_CONSTRAINT, f"derivative of what is held: {size:.3g}")
    return size


@dataclass(frozen=True)
class Prescribed(Process):
    """Lemmas 5 and 9: θ̇ = θ_λ λ̇ + θ_γ γ̇ + θ_t ṫ (17, 23) with given λ(s), γ(s), t(s).

    λ, γ and t are given at the two ends of the span, over which τ runs from 0 to 1. The shape is linear,
    λ = (1−τ)λ₀ + τλ₁; exponential, λ = λ₀ (λ₁/λ₀)^τ, with t still linear; or jump, where all three take their second
    values as soon as the clock runs.
    """

    span: tuple[float, float]
    lam: tuple[float, float]
    gamma: tuple[float, float]
    data_position: tuple[float, float] = (0.0, 0.0)
    shape: Literal["linear", "exponential", "jump"] = "linear"

    def _value_and_rate(self, ends: tuple[float, float], s: float, shape: str) -> tuple[float, float]:
        length = self.span[1] - self.span[0]
        tau = (s - self.span[0]) / length
        start, end = ends
        if shape == "jump":
            return (start if tau == 0 else end), 0.0
        if shape == "linear":
            return start + tau * (end - start), (end - start) / length
        value = start * (end / start) ** tau
        return value, value * math.log(end / start) / length

    def _values_and_rates(self, s: float) -> list[tuple[float, float]]:
        position = "jump" if self.shape == "jump" else "linear"
        ends = ((self.lam, self.shape), (self.gamma, self.shape), (self.data_position, position))
        return [self._value_and_rate(pair, s, shape) for pair, shape in ends]

    def rates(self, s: float, here: SurfacePoint) -> Triple:
        """(λ̇, γ̇, ṫ) of the given path; M plays no part."""
        return here.matrix.new_tensor([rate for _, rate in self._values_and_rates(s)])

    def prescribed(self, s: float, like: Controls) -> Controls:
        """(λ(s), γ(s), t(s))."""
        return like.new_tensor([value for value, _ in self._values_and_rates(s)])

    def _positions(self, controls: Controls) -> list[Tensor]:
        """Position of each moving control between its ends, as a share of the span."""
        ends = ((self.lam, self.shape), (self.gamma, self.shape), (self.data_position, "linear"))
        return [
            (c - a) / (b - a) if shape == "linear" else (c / a).log() / math.log(b / a)
            for c, ((a, b), shape) in zip(controls, ends)
            if a != b
        ]

    def frame(self, controls: Controls) -> Float[Tensor, "2"]:
        """Displacements of the controls that stay fixed, and how far the others are from moving together."""
        still = [
            c - a for c, (a, b) in zip(controls, (self.lam, self.gamma, self.data_position), strict=True) if a == b
        ]
        first, *others = self._positions(controls)
        return torch.stack([*still, *(other - first for other in others)])

    def elapsed(self, before: SurfacePoint, after: SurfacePoint) -> float:
        """|Δs| on the given path."""
        one, two = (float(self._positions(point.controls)[0]) for point in (before, after))
        return abs((two - one) * (self.span[1] - self.span[0]))


@dataclass(frozen=True)
class IsoFunctional(Process):
    """λ̇ = −α h_γ, γ̇ = α h_λ for h = w·(R, D, C): Ċ = 0 of (22) and Remark 7 with w = (0, 0, 1), else Remark 8.

    `clock` names what has unit speed: alpha (α = 1), multipliers (|(λ̇, γ̇)| = 1), rate_distortion (|(Ṙ, Ḋ)| = 1) or lam
    (λ̇ = 1 and γ̇ = −h_λ/h_γ, which needs h_γ ≠ 0; γ alone then restores h, so that a noisy M cannot reverse λ).
    """

    span: tuple[float, float]
    weights: Weights = (0.0, 0.0, 1.0)
    clock: Literal["alpha", "multipliers", "rate_distortion", "lam"] = "multipliers"

    @property
    def held(self) -> tuple[Weights, ...]:  # type: ignore[override]
        """The one functional that stays constant."""
        return (self.weights,)

    def _gradient(self, here: SurfacePoint) -> Float[Tensor, "2"]:
        """(h_λ, h_γ) along the surface."""
        return here.matrix.new_tensor(self.weights) @ here.matrix[:, :2]

    def rates(self, s: float, here: SurfacePoint) -> Triple:
        """(λ̇, γ̇, 0) along the level set of h."""
        matrix, row = here.matrix, self._gradient(here)
        if self.clock == "lam":
            size_of(row[1], matrix, self.weights)
            return torch.stack([torch.ones_like(row[0]), -row[0] / row[1], torch.zeros_like(row[0])])
        tangent = torch.stack([-row[1], row[0]])
        size = size_of(tangent, matrix, self.weights)
        if self.clock == "multipliers":
            tangent = tangent / size
        elif self.clock == "rate_distortion":
            tangent = tangent / (matrix[:2, :2] @ tangent).norm()
        return torch.cat([tangent, matrix.new_zeros(1)])

    def free_directions(self, here: SurfacePoint) -> Float[Tensor, "1 3"]:
        """The gradient of h in (λ, γ), the shortest way back to the level set; γ alone if λ is the clock."""
        if self.clock == "lam":
            return here.matrix.new_tensor([[0.0, 1.0, 0.0]])
        return super().free_directions(here)

    def divisors(self, here: SurfacePoint) -> dict[str, tuple[float, Status]]:
        """h_γ if λ is the clock; else none, since the rates are divided by a length."""
        if self.clock != "lam":
            return {}
        return {"h_gamma": (float(self._gradient(here)[1]), Status.DEGENERATE_CONSTRAINT)}

    def frame(self, controls: Controls) -> Float[Tensor, "1"]:
        """The data position."""
        return controls[2:]

    def elapsed(self, before: SurfacePoint, after: SurfacePoint) -> float:
        """By the clock: |Δλ|, |Δ(λ, γ)|, |Δ(R, D)|, or for alpha the second over |(h_λ, h_γ)|."""
        if self.clock == "lam":
            return float((after.controls - before.controls)[0].abs())
        if self.clock == "rate_distortion":
            return math.hypot(after.rate - before.rate, float(after.forces[0] - before.forces[0]))
        length = float((after.controls - before.controls)[:2].norm())
        if self.clock == "multipliers":
            return length
        return length / size_of(self._gradient(after), after.matrix, self.weights)

"""λ(s), γ(s) and t(s) as given functions of the clock."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from rdc_dyn.dynamics.processes.base import Process, SurfacePoint, Triple
from rdc_dyn.linalg.base import Controls


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
        if shape == "linear" or start == end:
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

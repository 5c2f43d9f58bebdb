"""A level set of one functional h = w·(R, D, C)."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from rdc_dyn.dynamics.processes.base import Process, SurfacePoint, Triple, Weights, size_of
from rdc_dyn.linalg.base import Controls
from rdc_dyn.status import Status


@dataclass(frozen=True)
class IsoFunctional(Process):
    """λ̇ = −α h_γ, γ̇ = α h_λ for h = w·(R, D, C): Ċ = 0 of (22) and Remark 7 with w = (0, 0, 1), else Remark 8.

    `clock` names what has unit speed: alpha (α = 1), multipliers (|(λ̇, γ̇)| = 1), rate_distortion (|(Ṙ, Ḋ)| = 1), lam
    (λ̇ = 1 and γ̇ = −h_λ/h_γ, which needs h_γ ≠ 0; γ alone then restores h, so that a noisy M cannot reverse λ), or
    log_lam (the same with λ̇ = λ).
    """

    span: tuple[float, float]
    weights: Weights = (0.0, 0.0, 1.0)
    clock: Literal["alpha", "multipliers", "rate_distortion", "lam", "log_lam"] = "multipliers"

    @property
    def _by_lam(self) -> bool:
        """Whether λ is the clock, so that γ alone is free."""
        return self.clock in ("lam", "log_lam")

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
        if self._by_lam:
            size_of(row[1], matrix, self.weights)
            speed = here.controls[0] if self.clock == "log_lam" else 1.0
            return speed * torch.stack([torch.ones_like(row[0]), -row[0] / row[1], torch.zeros_like(row[0])])
        tangent = torch.stack([-row[1], row[0]])
        size = size_of(tangent, matrix, self.weights)
        if self.clock == "multipliers":
            tangent = tangent / size
        elif self.clock == "rate_distortion":
            tangent = tangent / (matrix[:2, :2] @ tangent).norm()
        return torch.cat([tangent, matrix.new_zeros(1)])

    def free_directions(self, here: SurfacePoint) -> Float[Tensor, "1 3"]:
        """The gradient of h in (λ, γ), the shortest way back to the level set; γ alone if λ is the clock."""
        if self._by_lam:
            return here.matrix.new_tensor([[0.0, 1.0, 0.0]])
        return super().free_directions(here)

    def divisors(self, here: SurfacePoint) -> dict[str, tuple[float, Status]]:
        """h_γ if λ is the clock; else none, since the rates are divided by a length."""
        if not self._by_lam:
            return {}
        return {"h_gamma": (float(self._gradient(here)[1]), Status.DEGENERATE_CONSTRAINT)}

    def frame(self, controls: Controls) -> Float[Tensor, "1"]:
        """The data position."""
        return controls[2:]

    def elapsed(self, before: SurfacePoint, after: SurfacePoint) -> float:
        """By the clock: |Δλ|, |Δ ln λ|, |Δ(λ, γ)|, |Δ(R, D)|, or for alpha the second over |(h_λ, h_γ)|."""
        if self.clock == "lam":
            return float((after.controls - before.controls)[0].abs())
        if self.clock == "log_lam":
            return float((after.controls[0] / before.controls[0]).log().abs())
        if self.clock == "rate_distortion":
            return math.hypot(after.rate - before.rate, float(after.forces[0] - before.forces[0]))
        length = float((after.controls - before.controls)[:2].norm())
        if self.clock == "multipliers":
            return length
        return length / size_of(self._gradient(after), after.matrix, self.weights)

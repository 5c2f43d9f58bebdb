"""Transfer from source to target data: ṫ = 1, and held functionals h = W (R, D, C) determine the free multipliers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from rdc_dyn.dynamics.process import Process, SurfacePoint, Triple, Weights, size_of
from rdc_dyn.linalg.base import Controls
from rdc_dyn.status import NumericalFailure, Status

_CLASSIFICATION: Weights = (0.0, 0.0, 1.0)


class _Transfer(Process):
    """ċ = g + Uᵀa with given rates g and free multipliers U, where W M ċ = 0 determines a; the clock is t."""

    free: ClassVar[tuple[int, ...]]

    def _rows(self, here: SurfacePoint) -> Float[Tensor, "m 3"]:
        """W M, the derivatives of what is held with respect to (λ, γ, t) along the surface."""
        return here.matrix.new_tensor(self.held) @ here.matrix

    def free_directions(self, here: SurfacePoint) -> Float[Tensor, "m 3"]:
        """U."""
        return torch.eye(3, dtype=here.matrix.dtype, device=here.matrix.device)[list(self.free)]

    def elapsed(self, before: SurfacePoint, after: SurfacePoint) -> float:
        """|Δt|."""
        return float((after.controls - before.controls)[2].abs())


@dataclass(frozen=True)
class IsoFunctionalTransfer(_Transfer):
    """λ̇ = k constant, γ̇ = −(h_λ k + h_t)/h_γ: (32) for h = C, else Remark 8 while the data change.

    Attributes:
        span: First and last data position t, which is the clock.
        lam_rate: k.
        weights: w of h = w·(R, D, C).
    """

    span: tuple[float, float]
    lam_rate: float
    weights: Weights = _CLASSIFICATION
    free: ClassVar[tuple[int, ...]] = (1,)

    @property
    def held(self) -> tuple[Weights, ...]:  # type: ignore[override]
        """h."""
        return (self.weights,)

    def rates(self, s: float, here: SurfacePoint) -> Triple:
        """(k, γ̇, 1); raises `NumericalFailure` with DEGENERATE_CONSTRAINT if h_γ is zero to rounding."""
        h_lam, h_gamma, h_t = self._rows(here)[0].unbind()
        size_of(h_gamma, here.matrix, self.weights)
        gamma_rate = -(h_lam * self.lam_rate + h_t) / h_gamma
        return torch.stack([gamma_rate.new_tensor(self.lam_rate), gamma_rate, gamma_rate.new_tensor(1.0)])

    def divisors(self, here: SurfacePoint) -> dict[str, tuple[float, Status]]:
        """h_γ."""
        name = "C_gamma" if self.weights == _CLASSIFICATION else "h_gamma"
        return {name: (float(self._rows(here)[0, 1]), Status.DEGENERATE_CONSTRAINT)}

    def frame(self, controls: Controls) -> Float[Tensor, "1"]:
        """λ − k t."""
        return (controls[0] - self.lam_rate * controls[2])[None]


@dataclass(frozen=True)
class GeodesicTransfer(_Transfer):
    """Ḋ = k Ṙ and Ċ = 0: two rows of M for (λ̇, γ̇) (30).

    Without a weight prior this is D_λλ̇ + D_γγ̇ + D_t = k/(1+kλ) ∂F/∂t and C_λλ̇ + C_γγ̇ + C_t = 0: on the surface
    R = F − λD − γC, so Ṙ = ∂F/∂t − λḊ at Ċ = 0, where ∂F/∂t is the explicit derivative at fixed (λ, γ) and θ, not that
    of R along the surface. A weight prior Ω adds −Ω̇, which the rows of M include.

    Attributes:
        span: First and last data position t, which is the clock.
        slope: k = dD/dR.
    """

    span: tuple[float, float]
    slope: float
    free: ClassVar[tuple[int, ...]] = (0, 1)

    @property
    def held(self) -> tuple[Weights, ...]:  # type: ignore[override]
        """D − kR and C."""
        return ((-self.slope, 1.0, 0.0), _CLASSIFICATION)

    def rates(self, s: float, here: SurfacePoint) -> Triple:
        """(λ̇, γ̇, 1) on the straight line in (R, D).

        Raises `NumericalFailure` with SINGULAR_GEODESIC where, to rounding, (D − kR, C) do not determine (λ, γ).
        Without a weight prior, that is where 1 + kλ = 0, so that the line has the slope of the iso-classification
        curve, or where (D, C) do not determine them.
        """
        rows = self._rows(here)
        block = rows[:, :2]
        scale = float(block.norm(dim=1).prod())
        if not abs(float(torch.linalg.det(block))) > 1e2 * torch.finfo(block.dtype).eps * scale:
            aside = 1 + self.slope * float(here.controls[0])
            raise NumericalFailure(Status.SINGULAR_GEODESIC, f"1 + k lam = {aside:.3g}")
        return torch.cat([torch.linalg.solve(block, -rows[:, 2]), rows.new_ones(1)])

    def divisors(self, here: SurfacePoint) -> dict[str, tuple[float, Status]]:
        """The determinant of (D − kR, C) in (λ, γ); without a weight prior, 1 + kλ times that of (D, C)."""
        determinant = float(torch.linalg.det(self._rows(here)[:, :2]))
        return {"det d(D - k R, C)/d(lam, gamma)": (determinant, Status.SINGULAR_GEODESIC)}

    def frame(self, controls: Controls) -> Float[Tensor, "0"]:
        """Nothing, since two functionals are held."""
        return controls[:0]

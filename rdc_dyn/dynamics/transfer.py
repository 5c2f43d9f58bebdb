"""Transfer from source to target data at constant C, by C_λλ̇ + C_γγ̇ + C_t = 0 with ṫ = 1 (28, 30, 32)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from rdc_dyn.dynamics.process import SurfacePoint, Triple, Weights, size_of
from rdc_dyn.objective.graph import Controls
from rdc_dyn.status import NumericalFailure, Status

_CLASSIFICATION = 2


@dataclass(frozen=True)
class IsoClassificationTransfer:
    """λ̇ = k constant, γ̇ = −(C_λ k + C_t)/C_γ (32).

    Attributes:
        span: First and last data position t, which is the clock.
        lam_rate: k.
    """

    span: tuple[float, float]
    lam_rate: float
    held: tuple[Weights, ...] = ((0.0, 0.0, 1.0),)

    def rates(self, s: float, here: SurfacePoint) -> Triple:
        """(k, γ̇, 1); raises `NumericalFailure` with DEGENERATE_CONSTRAINT if C_γ is zero to rounding."""
        c_lam, c_gamma, c_t = here.matrix[_CLASSIFICATION].unbind()
        size_of(c_gamma, here.matrix, self.held[0])
        gamma_rate = -(c_lam * self.lam_rate + c_t) / c_gamma
        return torch.stack([gamma_rate.new_tensor(self.lam_rate), gamma_rate, gamma_rate.new_tensor(1.0)])

    def free_directions(self, here: SurfacePoint) -> Float[Tensor, "1 3"]:
        """γ alone, since λ is given."""
        return here.matrix.new_tensor([[0.0, 1.0, 0.0]])

    def prescribed(self, s: float, like: Controls) -> None:
        """None, since γ follows from M."""
        return None

    def divisors(self, here: SurfacePoint) -> dict[str, tuple[float, Status]]:
        """C_γ."""
        return {"C_gamma": (float(here.matrix[_CLASSIFICATION, 1]), Status.DEGENERATE_CONSTRAINT)}

    def frame(self, controls: Controls) -> Float[Tensor, "1"]:
        """λ − k t."""
        return (controls[0] - self.lam_rate * controls[2])[None]

    def elapsed(self, before: SurfacePoint, after: SurfacePoint) -> float:
        """|Δt|."""
        return float((after.controls - before.controls)[2].abs())


@dataclass(frozen=True)
class GeodesicTransfer:
    """Ḋ = k Ṙ and Ċ = 0 with ṫ = 1: two rows of M for (λ̇, γ̇) (30).

    Without a weight prior this is D_λλ̇ + D_γγ̇ + D_t = k/(1+kλ) ∂F/∂t and C_λλ̇ + C_γγ̇ + C_t = 0: on the surface
    R = F − λD − γC, so Ṙ = ∂F/∂t − λḊ at Ċ = 0, where ∂F/∂t is the explicit derivative at fixed (λ, γ) and θ, not that
    of R along the surface. A weight prior Ω adds −Ω̇, which the rows of M include.

    Attributes:
        span: First and last data position t, which is the clock.
        slope: k = dD/dR.
    """

    span: tuple[float, float]
    slope: float

    @property
    def held(self) -> tuple[Weights, ...]:
        """D − kR and C."""
        return ((-self.slope, 1.0, 0.0), (0.0, 0.0, 1.0))

    def _rows(self, here: SurfacePoint) -> Float[Tensor, "2 3"]:
        """d(D − kR, C)/d(λ, γ, t) along the surface."""
        return here.matrix.new_tensor(self.held) @ here.matrix

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

    def free_directions(self, here: SurfacePoint) -> Float[Tensor, "2 3"]:
        """λ and γ."""
        return here.matrix.new_tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])

    def prescribed(self, s: float, like: Controls) -> None:
        """None, since λ and γ follow from M."""
        return None

    def divisors(self, here: SurfacePoint) -> dict[str, tuple[float, Status]]:
        """The determinant of (D − kR, C) in (λ, γ); without a weight prior, 1 + kλ times that of (D, C)."""
        determinant = float(torch.linalg.det(self._rows(here)[:, :2]))
        return {"det d(D - k R, C)/d(lam, gamma)": (determinant, Status.SINGULAR_GEODESIC)}

    def frame(self, controls: Controls) -> Float[Tensor, "0"]:
        """Nothing, since two functionals are held."""
        return controls[:0]

    def elapsed(self, before: SurfacePoint, after: SurfacePoint) -> float:
        """|Δt|."""
        return float((after.controls - before.controls)[2].abs())

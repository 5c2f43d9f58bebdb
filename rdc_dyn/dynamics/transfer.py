"""D_λλ̇ + D_γγ̇ + D_t = …, C_λλ̇ + C_γγ̇ + C_t = 0 with ṫ = 1: from source to target data at constant C (28, 30, 32)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from rdc_dyn.dynamics.process import SurfacePoint, Triple, Weights, size_of
from rdc_dyn.objective.free_energy import Controls
from rdc_dyn.status import NumericalFailure, Status

_RATE, _DISTORTION, _CLASSIFICATION = 0, 1, 2


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
        """(k, γ̇, 1).

        Args:
            s: Clock.
            here: M.

        Returns:
            The rates.

        Raises:
            NumericalFailure: DEGENERATE_CONSTRAINT where C_γ is zero to rounding.
        """
        c_lam, c_gamma, c_t = here.matrix[_CLASSIFICATION].unbind()
        size_of(c_gamma, here.matrix)
        gamma_rate = -(c_lam * self.lam_rate + c_t) / c_gamma
        return torch.stack([gamma_rate.new_tensor(self.lam_rate), gamma_rate, gamma_rate.new_tensor(1.0)])

    def free_directions(self, here: SurfacePoint) -> Float[Tensor, "1 3"]:
        """γ alone: λ is given."""
        return here.matrix.new_tensor([[0.0, 1.0, 0.0]])

    def prescribed(self, s: float, like: Controls) -> None:
        """γ follows from M."""
        return None


@dataclass(frozen=True)
class GeodesicTransfer:
    """Ḋ = k Ṙ and Ċ = 0: D_λλ̇ + D_γγ̇ + D_t = k/(1+kλ) ∂F/∂t, C_λλ̇ + C_γγ̇ + C_t = 0 (30).

    On the surface R = F − λD − γC, so at Ċ = 0 Ṙ = ∂F/∂t − λḊ; with Ḋ = k Ṙ that is Ḋ = k/(1+kλ) ∂F/∂t. The derivative
    on the right is the explicit one at fixed (λ, γ) and θ, not that of R along the surface.

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

    def rates(self, s: float, here: SurfacePoint) -> Triple:
        """(λ̇, γ̇, 1) on the straight line in (R, D).

        Args:
            s: Clock.
            here: M and ∂F/∂t.

        Returns:
            The rates.

        Raises:
            NumericalFailure: DEGENERATE_CONSTRAINT where 1 + kλ = 0, the slope of the iso-classification curve itself,
                or where (D, C) do not determine (λ, γ), to rounding.
        """
        matrix = here.matrix
        denominator = 1.0 + self.slope * float(here.controls[0])
        if abs(denominator) < 1e-6:
            raise NumericalFailure(Status.DEGENERATE_CONSTRAINT, f"1 + k lam = {denominator:.3g}")
        block = matrix[_DISTORTION:, :2]
        size_of(torch.linalg.det(block), matrix)
        wanted = torch.stack([self.slope / denominator * here.forces[2], torch.zeros_like(here.forces[2])])
        multipliers = torch.linalg.solve(block, wanted - matrix[_DISTORTION:, 2])
        return torch.cat([multipliers, matrix.new_ones(1)])

    def free_directions(self, here: SurfacePoint) -> Float[Tensor, "2 3"]:
        """λ and γ."""
        return here.matrix.new_tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])

    def prescribed(self, s: float, like: Controls) -> None:
        """λ and γ follow from M."""
        return None

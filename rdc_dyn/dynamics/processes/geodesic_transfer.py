"""From source to target on a straight line in (R, D) at constant C."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from rdc_dyn.dynamics.processes.base import CLASSIFICATION, SurfacePoint, Transfer, Triple, Weights
from rdc_dyn.linalg.base import Controls
from rdc_dyn.status import NumericalFailure, Status


@dataclass(frozen=True)
class GeodesicTransfer(Transfer):
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
        return ((-self.slope, 1.0, 0.0), CLASSIFICATION)

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

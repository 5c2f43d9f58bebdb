"""A point (θ, λ, γ, t) of the path."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from rdc_dyn.linalg.base import Controls, Vector
from rdc_dyn.status import NumericalFailure, Status

#: Smallest unit of t, since a path turns fastest near t = 0.
SMALLEST_T = 1e-3


@dataclass(frozen=True)
class State:
    """Parameters and controls.

    Attributes:
        theta: θ, shape (P,).
        controls: (λ, γ, t), shape (3,).
    """

    theta: Vector
    controls: Float[Tensor, "3"]

    @property
    def lam(self) -> float:
        """λ, multiplier of the distortion."""
        return float(self.controls[0])

    @property
    def gamma(self) -> float:
        """γ, multiplier of the classification loss."""
        return float(self.controls[1])

    @property
    def data_position(self) -> float:
        """t, position of the data between source (0) and target (1)."""
        return float(self.controls[2])

    def require_bounds(self) -> None:
        """Raise `NumericalFailure` with BOUND_REACHED if a multiplier is negative."""
        if self.lam < 0 or self.gamma < 0:
            raise NumericalFailure(Status.BOUND_REACHED, f"lam = {self.lam:.6g}, gamma = {self.gamma:.6g}")

    @property
    def finite(self) -> bool:
        """Whether no number is NaN or infinite."""
        return bool(torch.isfinite(self.theta).all() and torch.isfinite(self.controls).all())


def relative_change(begin: Controls, end: Controls) -> Controls:
    """Change of the logarithms of (λ, γ, t), as (c₁ − c₀) / ½(c₀ + c₁); of a multiplier at zero, its own change."""
    mean = 0.5 * (begin + end)
    unit = torch.where(mean > 0, mean, 1.0)
    unit[2] = mean[2].clamp_min(SMALLEST_T)
    return (end - begin) / unit

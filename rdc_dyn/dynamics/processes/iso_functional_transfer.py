"""One functional stays constant while the data change."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from rdc_dyn.dynamics.processes.base import CLASSIFICATION, SurfacePoint, Transfer, Triple, Weights, size_of
from rdc_dyn.linalg.base import Controls
from rdc_dyn.status import Status


@dataclass(frozen=True)
class IsoFunctionalTransfer(Transfer):
    """λ̇ = k constant, γ̇ = −(h_λ k + h_t)/h_γ: (32) for h = C, else Remark 8 while the data change.

    Attributes:
        span: First and last data position t, which is the clock.
        lam_rate: k.
        weights: w of h = w·(R, D, C).
    """

    span: tuple[float, float]
    lam_rate: float
    weights: Weights = CLASSIFICATION
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
        name = "C_gamma" if self.weights == CLASSIFICATION else "h_gamma"
        return {name: (float(self._rows(here)[0, 1]), Status.DEGENERATE_CONSTRAINT)}

    def frame(self, controls: Controls) -> Float[Tensor, "1"]:
        """λ − k t."""
        return (controls[0] - self.lam_rate * controls[2])[None]

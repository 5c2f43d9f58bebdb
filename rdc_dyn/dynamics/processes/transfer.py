"""Transfer from source to target data: ṫ = 1, and held functionals h = W (R, D, C) determine the free multipliers."""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from rdc_dyn.dynamics.processes.base import Process, SurfacePoint, Weights

CLASSIFICATION: Weights = (0.0, 0.0, 1.0)


class Transfer(Process):
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

"""J = R(θ) + λ D(θ) + γ C(θ) with a network encoder e_θ(z|x) = N(μ, diag s²), m = N(0, I) and frozen samples of z."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from rdc_dyn.data.samples import Sample
from rdc_dyn.linalg.base import Scalar
from rdc_dyn.objective.variational import Codes, Variational


@dataclass(frozen=True)
class Amortised(Variational):
    """The evidence lower bound as an objective; J is linear in (λ, γ)."""

    linear: ClassVar[bool] = True

    def bound(self, codes: Codes, sample: Sample, lam: Scalar, gamma: Scalar) -> Scalar:
        """J with R = E_x KL(e_θ ‖ m) in closed form, and with D and C averaged over the codes."""
        distortion, classification = codes.distortion.mean(1), codes.classification_loss.mean(1)
        return sample.mean(codes.divergence) + lam * sample.mean(distortion) + gamma * sample.mean(classification)

    def rates(self, codes: Codes, lam: Scalar, gamma: Scalar, paid: Float[Tensor, "N"]) -> Float[Tensor, "N"]:
        """KL(e_θ ‖ m) of each datum."""
        return codes.divergence

    def weights(self, codes: Codes, lam: Scalar, gamma: Scalar) -> Float[Tensor, "N S"]:
        """Equal weights 1/S."""
        return torch.full_like(codes.distortion, 1 / codes.distortion.shape[1])

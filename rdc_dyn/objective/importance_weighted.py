"""J = −E_x log (1/K) Σ_k e^{−H(z_k)} / e_θ(z_k|x), z_k ~ e_θ(z|x): between amortised (K = 1) and Gibbs (K → ∞)."""

import math
from dataclasses import dataclass, field
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from rdc_dyn.data.samples import Sample
from rdc_dyn.linalg.base import Scalar
from rdc_dyn.objective.variational import Codes, Variational


@dataclass(frozen=True)
class ImportanceWeighted(Variational):
    """The importance-weighted bound (Burda et al. 2016) on the Gibbs encoder's −E log Z (14).

    The S codes of a datum form S/K groups of K = `importance_samples`, which must divide S, and J averages over the
    groups. D = ∂J/∂λ and C = ∂J/∂γ are then averages with the self-normalised weights w_k / Σ w, w = e^{−H} / e_θ,
    which is Lemma 5 estimated as in Remark 6. If K is a power of two, K consecutive codes are themselves evenly spread,
    which brings J closer to −E log Z than K independent codes would.

    With K = 1 this is the amortised bound with a sampled rate, E[log e_θ(z|x) − log m(z)]. As K grows the encoder
    matters less and less and becomes a mere proposal, and a weight prior draws it towards m.
    """

    importance_samples: int = field(kw_only=True)
    recorded: ClassVar[tuple[str, ...]] = ("accuracy", "code_accuracy", "effective_sample_size")

    def bound(self, codes: Codes, sample: Sample, lam: Scalar, gamma: Scalar) -> Scalar:
        """−E log of the mean weight in a group, averaged over groups."""
        log_mean = self._log_weights(codes, lam, gamma).logsumexp(2) - math.log(self.importance_samples)
        return -sample.mean(log_mean.mean(1))

    def rates(self, codes: Codes, lam: Scalar, gamma: Scalar, paid: Float[Tensor, "N"]) -> Float[Tensor, "N"]:
        """J − λD − γC of each datum; `paid` is λD + γC."""
        log_mean = self._log_weights(codes, lam, gamma).logsumexp(2) - math.log(self.importance_samples)
        return -log_mean.mean(1) - paid

    def weights(self, codes: Codes, lam: Scalar, gamma: Scalar) -> Float[Tensor, "N S"]:
        """Weights self-normalised within each group; all groups count equally."""
        normalised = self._log_weights(codes, lam, gamma).softmax(2)
        return normalised.flatten(1) / normalised.shape[1]

    def _log_weights(self, codes: Codes, lam: Scalar, gamma: Scalar) -> Float[Tensor, "N G K"]:
        """log w = −H(z) − log e_θ(z|x) (11)."""
        log_weights = -codes.log_ratio - lam * codes.distortion - gamma * codes.classification_loss
        return log_weights.unflatten(1, (-1, self.importance_samples))

    def measure(self, codes: Codes, sample: Sample, lam: Scalar, gamma: Scalar) -> dict[str, Tensor]:
        """R, D, C, accuracies, and the effective sample size (Σ w)² / Σ w² of a group, between 1 and K."""
        normalised = self._log_weights(codes, lam, gamma).softmax(2)
        size = sample.mean((1 / normalised.square().sum(2)).mean(1))
        return super().measure(codes, sample, lam, gamma) | {"effective_sample_size": size}

"""J = −E_x log Σ_z m(z) d(x|z)^λ c(y|z)^γ: exact Gibbs sums over z in {1..K} (9, 14)."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from rdc_dyn.data.samples import Block, Data, Sample
from rdc_dyn.linalg.base import Rows, Scalar, Vector
from rdc_dyn.objective.base import Functionals, no_kernel, sum_over_data
from rdc_dyn.objective.diagnostics import block_size, held_out_numbers, training_numbers
from rdc_dyn.objective.likelihood import Likelihood

#: Intermediate values for each datum and code: Hamiltonian, encoder, its logarithm, losses.
_NUMBERS = 8


@dataclass(frozen=True)
class FiniteLatent:
    """θ = (logits of m, decoder outputs, logits of c), K + K n + K Y numbers, with the encoder e ∝ m d^λ c^γ.

    Attributes:
        alphabet_size: K.
        likelihood: d(x|z).
        weight_prior_precision: ρ.
        outputs: Decoder outputs where they are held fixed and are no part of θ.
    """

    data: Data
    alphabet_size: int
    likelihood: Likelihood
    weight_prior_precision: float
    exact: bool = True
    outputs: Float[Tensor, "K n"] | None = None

    @property
    def moves(self) -> bool:
        """Whether there is a target."""
        return self.data.target is not None

    @property
    def _sizes(self) -> tuple[int, int, int]:
        """Numbers in θ for m, for the decoder and for c."""
        k = self.alphabet_size
        return k, k * self.data.x_dim if self.outputs is None else 0, k * self.data.classes

    @property
    def size(self) -> int:
        """P = K (1 + n + Y), or K (1 + Y) with a fixed decoder."""
        return sum(self._sizes)

    def tables(self, theta: Vector) -> tuple[Float[Tensor, "K"], Float[Tensor, "K n"], Float[Tensor, "K Y"]]:
        """(log m(z), decoder outputs, log c(y|z)) from θ."""
        prior, decoder, classifier = theta.split(self._sizes)
        outputs = decoder.view(self.alphabet_size, self.data.x_dim) if self.outputs is None else self.outputs
        return prior.log_softmax(0), outputs, classifier.view(self.alphabet_size, -1).log_softmax(1)

    def minus_hamiltonian(self, theta: Vector, sample: Sample, lam: Scalar, gamma: Scalar) -> Float[Tensor, "N K"]:
        """−H(z; x, y) = log m(z) + λ log d(x|z) + γ log c(y|z) (11)."""
        log_prior, decoder, log_classifier = self.tables(theta)
        log_decoder = self.likelihood.log_prob_table(sample.x, decoder)
        return log_prior + lam * log_decoder + gamma * sample.labelled(lambda y: log_classifier.T[y])

    def block_energy(self, block: Block, theta: Vector, lam: Scalar, gamma: Scalar, data_position: Scalar) -> Scalar:
        """Contribution of a block of the data to J = −E_x log Z_x (14)."""

        def minus_log_partition(_: Block, sample: Sample) -> Tensor:
            return -sample.mean(self.minus_hamiltonian(theta, sample, lam, gamma).logsumexp(1))

        return self.data.share(block, minus_log_partition, data_position)

    def functionals(
        self, block: Block, theta: Vector, lam: Scalar, gamma: Scalar, data_position: Scalar
    ) -> Functionals:
        """(R, D, C) of each datum under its Gibbs encoder, with R = −log Z − λD − γC."""
        sample = self.data.sample(block, data_position)
        log_prior, decoder, log_classifier = self.tables(theta)
        log_decoder = self.likelihood.log_prob_table(sample.x, decoder)
        log_label = sample.labelled(lambda y: log_classifier.T[y])
        energy = log_prior + lam * log_decoder + gamma * log_label
        encoder = energy.softmax(1)
        distortion, classification = -(encoder * log_decoder).sum(1), -(encoder * log_label).sum(1)
        rate = -energy.logsumexp(1) - lam * distortion - gamma * classification
        return rate, distortion, classification

    def drawn(self, block: Block, generator: torch.Generator) -> Block:
        """The block as it is, since the sum over z has no noise."""
        return block

    def free_energy(self, theta: Vector, lam: Scalar, gamma: Scalar, data_position: Scalar) -> Scalar:
        """J over the data at t, that is over the mixture or over the moving pairs."""
        return sum_over_data(self, theta, lam, gamma, data_position)

    def initial(self, generator: torch.Generator) -> Vector:
        """Uniform m, decoder outputs at K random data, and nearly uniform c."""
        k, sample = self.alphabet_size, self.data.source
        pick = torch.randint(len(sample), (k,), generator=generator).to(sample.x.device)
        decoder = self.likelihood.initial_output(sample.x[pick]) if self.outputs is None else sample.x.new_empty(0)
        logits = 0.01 * torch.randn(k, self.data.classes, generator=generator, dtype=torch.float64).to(sample.x)
        return torch.cat([sample.x.new_zeros(k), decoder.flatten(), logits.flatten()])

    def kernel(self, theta: Vector) -> Rows:
        """Constant shifts of the logits of m and of each c(·|z), which leave J unchanged; none with a weight prior."""
        if self.weight_prior_precision > 0:
            return no_kernel(theta)
        k, classes = self.alphabet_size, self.data.classes
        rows = theta.new_zeros((k + 1, self.size))
        rows[0, :k] = k**-0.5
        for z in range(k):
            start = self.size - (k - z) * classes
            rows[1 + z, start : start + classes] = classes**-0.5
        return rows

    def diagnostics(self, theta: Vector, lam: float, gamma: float, data_position: float) -> dict[str, float]:
        """Accuracies on the training data, and R, D, C and accuracies on the held-out data.

        The accuracy is that of Σ_z e(z|x) c(y|z) with the encoder e ∝ m d^λ, which does not see the label; the code
        accuracy is that of a single z drawn from this encoder.
        """
        lam_, gamma_, position = theta.new_tensor([lam, gamma, data_position]).unbind()
        size = block_size(self.data.x_dim + _NUMBERS * self.alphabet_size, theta)

        def accuracies(_: Block, sample: Sample) -> dict[str, Tensor]:
            return self._accuracies(theta, sample, lam_)

        def held_out(_: Block, sample: Sample) -> dict[str, Tensor]:
            return self._losses(theta, sample, lam_, gamma_) | self._accuracies(theta, sample, lam_)

        with torch.no_grad():
            numbers = training_numbers(self.data, accuracies, ("accuracy", "code_accuracy"), position, size)
            return numbers | held_out_numbers(self.data, held_out, position, size)

    def _accuracies(self, theta: Vector, sample: Sample, lam: Scalar) -> dict[str, Tensor]:
        """Accuracy of the averaged class probabilities, and expected accuracy of a single code."""
        encoder = self.minus_hamiltonian(theta, sample, lam, torch.zeros_like(lam)).softmax(1)
        log_classifier = self.tables(theta)[2]
        prediction, of_codes = (encoder @ log_classifier.exp()).argmax(1), log_classifier.argmax(1)
        return {
            "accuracy": sample.mean(sample.labelled(lambda y: (prediction == y).to(theta.dtype))),
            "code_accuracy": sample.mean(sample.labelled(lambda y: (encoder * (of_codes == y[:, None])).sum(1))),
        }

    def _losses(self, theta: Vector, sample: Sample, lam: Scalar, gamma: Scalar) -> dict[str, Tensor]:
        """R, D and C of a sample."""
        log_prior, decoder, log_classifier = self.tables(theta)
        log_encoder = self.minus_hamiltonian(theta, sample, lam, gamma).log_softmax(1)
        encoder = log_encoder.exp()
        log_decoder = self.likelihood.log_prob_table(sample.x, decoder)
        return {
            "rate": sample.mean((encoder * (log_encoder - log_prior)).sum(1)),
            "distortion": -sample.mean((encoder * log_decoder).sum(1)),
            "classification_loss": -sample.mean((encoder * sample.labelled(lambda y: log_classifier.T[y])).sum(1)),
        }

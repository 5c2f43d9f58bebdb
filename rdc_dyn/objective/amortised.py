"""J = R(θ) + λ D(θ) + γ C(θ) with a network encoder e_θ(z|x) = N(μ, diag s²), m = N(0, I) and frozen samples of z."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from rdc_dyn.linalg.base import Rows, Vector
from rdc_dyn.objective.base import Scalar, no_kernel
from rdc_dyn.objective.data import Data, Sample
from rdc_dyn.objective.likelihood import Likelihood
from rdc_dyn.objective.networks import Layout
from rdc_dyn.objective.noise import sobol_normal

Noise = Float[Tensor, "N S d"]


class Networks(nn.Module):
    """Encoder, decoder and classifier as one module.

    Args:
        encoder: x ↦ (mean, log-variance), 2 d outputs.
        decoder: z ↦ output of the likelihood.
        classifier: z ↦ class logits.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder, self.classifier = encoder, decoder, classifier

    def forward(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Mean and log-variance (N, d), decoder outputs (N, S, n) and class logits (N, S, Y) at z = μ + s ε."""
        mean, log_variance = self.encoder(x).chunk(2, dim=-1)
        z = mean[:, None, :] + (0.5 * log_variance).exp()[:, None, :] * noise
        return mean, log_variance, self.decoder(z), self.classifier(z)


@dataclass(frozen=True)
class Amortised:
    """The evidence-lower-bound objective; J is linear in (λ, γ).

    Attributes:
        data: Source, and for a mixture target, samples of (x, y).
        networks: Encoder, decoder and classifier; their parameters are θ.
        latent_dim: d.
        likelihood: d(x|z).
        samples: Frozen Sobol samples of z for each datum.
        weight_prior_precision: ρ.
        seed: Seed of the noise.
    """

    data: Data
    networks: Networks
    latent_dim: int
    likelihood: Likelihood
    samples: int
    weight_prior_precision: float
    seed: int
    exact: bool = False
    layout: Layout = field(init=False)
    _noise: dict[str, Noise] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "layout", Layout.of(self.networks))
        sets = {"source": self.data.source, "target": self.data.target, "validation": self.data.validation}
        noise = {}
        for number, (name, sample) in enumerate(sets.items()):
            if sample is not None:
                noise[name] = self._draw(sample, 2 * number)
                noise["fresh_" + name] = self._draw(sample, 2 * number + 1)
        object.__setattr__(self, "_noise", noise)

    def _draw(self, sample: Sample, stream: int) -> Noise:
        noise = sobol_normal(len(sample), self.samples, self.latent_dim, seed=1_000_003 * self.seed + stream)
        return noise.to(sample.x)

    @property
    def moves(self) -> bool:
        """Whether there is a target."""
        return self.data.target is not None

    @property
    def size(self) -> int:
        """Number of parameters."""
        return self.layout.size

    def _terms(self, theta: Vector, sample: Sample, noise: Noise) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """R, D, C in nats per datum, and log c(y|z) of every sample.

        R = E_x ½ Σ (μ² + s² − ln s² − 1), the Kullback-Leibler divergence from N(0, I); D and C are averages over the
        samples of z.

        Returns:
            Three scalars, and a tensor of shape (N, S, Y).
        """
        parameters = self.layout.unflatten(theta)
        mean, log_variance, output, logits = functional_call(self.networks, parameters, (sample.x, noise))
        rate = 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum(1).mean()
        distortion = -self.likelihood.log_prob(sample.x[:, None, :], output).mean()
        log_classifier = logits.log_softmax(-1)
        labels = sample.y[:, None, None].expand(-1, logits.shape[1], 1)
        classification = -log_classifier.gather(-1, labels).mean()
        return rate, distortion, classification, log_classifier

    def free_energy(self, theta: Vector, lam: Scalar, gamma: Scalar, data_position: Scalar) -> Scalar:
        """J = R + λD + γC, over the source or over the mixture (1 − t) source + t target."""

        def bound(sample: Sample) -> Tensor:
            noise = self._noise["source" if sample is self.data.source else "target"]
            rate, distortion, classification, _ = self._terms(theta, sample, noise)
            return rate + lam * distortion + gamma * classification

        return self.data.mix(bound, data_position)

    def initial(self, generator: torch.Generator) -> Vector:
        """Glorot-normal weights, zero biases."""
        return self.layout.initial(generator).to(self.data.source.x)

    def kernel(self, theta: Vector) -> Rows:
        """No continuous symmetry: rotations of z are broken by the frozen noise."""
        return no_kernel(theta)

    def diagnostics(self, theta: Vector, lam: float, gamma: float, data_position: float) -> dict[str, float]:
        """Accuracy, D and C on noise that J never saw, and R, D, C and accuracy on the validation set.

        The accuracy is that of the class probabilities averaged over the samples of z.

        Returns:
            A number for each name.
        """
        with torch.no_grad():
            position = theta.new_tensor(data_position)

            def fresh(sample: Sample) -> Tensor:
                name = "source" if sample is self.data.source else "target"
                return self._evaluate(theta, sample, self._noise["fresh_" + name])

            _, distortion, classification, _ = self.data.mix(fresh, position).tolist()

            def frozen(sample: Sample) -> Tensor:
                return self._evaluate(theta, sample, self._noise["source" if sample is self.data.source else "target"])

            numbers = {
                "accuracy": float(self.data.mix(frozen, position)[3]),
                "fresh_distortion": distortion,
                "fresh_classification_loss": classification,
            }
            if self.data.validation is not None:
                values = self._evaluate(theta, self.data.validation, self._noise["validation"]).tolist()
                names = ("rate", "distortion", "classification_loss", "accuracy")
                numbers |= {f"validation_{name}": value for name, value in zip(names, values)}
        return numbers

    def _evaluate(self, theta: Vector, sample: Sample, noise: Noise) -> Float[Tensor, "4"]:
        rate, distortion, classification, log_classifier = self._terms(theta, sample, noise)
        prediction = log_classifier.exp().mean(1).argmax(1)
        accuracy = (prediction == sample.y).to(theta.dtype).mean()
        return torch.stack([rate, distortion, classification, accuracy])

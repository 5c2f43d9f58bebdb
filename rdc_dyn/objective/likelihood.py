"""Normalised log-likelihoods log d(x|z): Gaussian N(x; μ, σ²I) and Bernoulli Π p^x (1−p)^(1−x)."""

import math
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus


class Likelihood(Protocol):
    """A distribution of x given the decoder's output.

    Attributes:
        convex: Whether −log d(x|z) is convex in the output, as `GaussNewton` and `Kfac` need.
        unit_interval: Whether x must be in [0, 1].
    """

    convex: ClassVar[bool]
    unit_interval: ClassVar[bool]

    def log_prob(self, x: Float[Tensor, "*b n"], output: Float[Tensor, "*b n"]) -> Float[Tensor, "*b"]:
        """log d(x|z) in nats, summed over the components of x; the arguments broadcast."""

    def log_prob_table(self, x: Float[Tensor, "N n"], output: Float[Tensor, "K n"]) -> Float[Tensor, "N K"]:
        """log d(x|z) for every pair of datum and code, without an N x K x n intermediate."""

    def initial_output(self, x: Float[Tensor, "N n"]) -> Float[Tensor, "N n"]:
        """The decoder output whose mean is x, or close to it."""


@dataclass(frozen=True)
class Gaussian:
    """log N(x; μ, σ²I) = −|x − μ|²/2σ² − (n/2) ln 2πσ².

    Attributes:
        variance: σ², shared by all components.
    """

    variance: float
    convex: ClassVar[bool] = True
    unit_interval: ClassVar[bool] = False

    def _normaliser(self, n: int) -> float:
        return 0.5 * n * math.log(2 * math.pi * self.variance)

    def log_prob(self, x: Float[Tensor, "*b n"], output: Float[Tensor, "*b n"]) -> Float[Tensor, "*b"]:
        """log d(x|z) with mean `output`."""
        return -(x - output).square().sum(-1) / (2 * self.variance) - self._normaliser(x.shape[-1])

    def log_prob_table(self, x: Float[Tensor, "N n"], output: Float[Tensor, "K n"]) -> Float[Tensor, "N K"]:
        """log d(x|z) for every pair, with |x − μ|² expanded to |x|² − 2 x·μ + |μ|²."""
        squares = x.square().sum(1)[:, None] - 2 * x @ output.T + output.square().sum(1)
        return -squares / (2 * self.variance) - self._normaliser(x.shape[1])

    def initial_output(self, x: Float[Tensor, "N n"]) -> Float[Tensor, "N n"]:
        """A copy of x, since the output is the mean."""
        return x.clone()


@dataclass(frozen=True)
class Bernoulli:
    """log Π p^x (1−p)^(1−x) = x·a − Σ ln(1 + e^a), p = sigmoid(a).

    For x between 0 and 1 this is the expected log-likelihood of binary pixels that are 1 with probability x.
    """

    convex: ClassVar[bool] = True
    unit_interval: ClassVar[bool] = True

    def log_prob(self, x: Float[Tensor, "*b n"], output: Float[Tensor, "*b n"]) -> Float[Tensor, "*b"]:
        """log d(x|z) with logits `output`."""
        # One pass over the pixels less than x·a − Σ softplus, and as exact where logits are large.
        return -torch.addcmul(softplus(output), x, output, value=-1).sum(-1)

    def log_prob_table(self, x: Float[Tensor, "N n"], output: Float[Tensor, "K n"]) -> Float[Tensor, "N K"]:
        """log d(x|z) for every pair."""
        return x @ output.T - softplus(output).sum(1)

    def initial_output(self, x: Float[Tensor, "N n"]) -> Float[Tensor, "N n"]:
        """Logits of x pulled away from 0 and 1, so that they are finite."""
        return torch.logit(0.1 + 0.8 * x)

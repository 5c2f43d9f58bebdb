"""The importance-weighted bound: amortised at K = 1, the exact Gibbs encoder as K grows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from math import log, pi
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, Normal, kl_divergence
from torch.func import functional_call

import rdc_dyn
from rdc_dyn.curvature.free_energy import FreeEnergy
from rdc_dyn.curvature.linearisation import Work
from rdc_dyn.dynamics import linear_response
from rdc_dyn.linalg import Dense
from rdc_dyn.objective import ImportanceWeighted
from rdc_dyn.objective.base import no_kernel
from rdc_dyn.objective.likelihood import Gaussian
from tests.problems import amortised, blobs, controls, digits, equilibrium, generator, importance_weighted, networks
from tests.tiny import images

LAM, GAMMA = 1.0, 3.0
TEMPERED = 0.7  # λ where d^λ must not be a density


def some_theta(objective: Any, seed: int = 1) -> Tensor:
    noise = torch.randn(objective.size, generator=generator(seed), dtype=torch.float64)
    return objective.initial(generator()) + 0.3 * noise


def value(objective: Any, theta: Tensor) -> float:
    return float(objective.free_energy(theta, *controls(LAM, GAMMA).unbind()))


def small(importance_samples: int, samples: int = 1024, seed: int = 0) -> ImportanceWeighted:
    """One latent dimension, so that the integral over z can be done exactly."""
    data = blobs(24, dim=3, classes=2)
    return ImportanceWeighted(
        data, networks(data, 1, (), (3,)), 1, Gaussian(0.1), samples, 0.1, seed, importance_samples=importance_samples
    )


@dataclass(frozen=True)
class ByQuadrature:
    """J = −E_x log ∫ N(z; 0, 1) d(x|z)^λ c(y|z)^γ dz by Gauss-Hermite quadrature, for the same decoder and classifier.

    The encoder's parameters are in θ but do not enter; the weight prior puts them to zero.
    """

    like: ImportanceWeighted
    nodes: int = 100
    exact: bool = True
    moves: bool = False

    @property
    def size(self) -> int:
        return self.like.size

    @property
    def weight_prior_precision(self) -> float:
        return self.like.weight_prior_precision

    @cached_property
    def rule(self) -> tuple[Tensor, Tensor]:
        z, weights = np.polynomial.hermite_e.hermegauss(self.nodes)
        return torch.from_numpy(z)[:, None], torch.from_numpy(np.log(weights / weights.sum()))

    def free_energy(self, theta: Tensor, lam: Tensor, gamma: Tensor, data_position: Tensor) -> Tensor:
        parameters, (z, log_weights) = self.like.layout.unflatten(theta), self.rule

        def network(name: str) -> Tensor:
            own = {k.removeprefix(f"{name}."): v for k, v in parameters.items() if k.startswith(f"{name}.")}
            return functional_call(getattr(self.like.networks, name), own, (z,))

        sample, log_classifier = self.like.data.source, network("classifier").log_softmax(1)
        log_decoder = self.like.likelihood.log_prob_table(sample.x, network("decoder"))
        return -(log_weights + lam * log_decoder + gamma * log_classifier.T[sample.y]).logsumexp(1).mean()

    def initial(self, generator: torch.Generator) -> Tensor:
        return self.like.initial(generator)

    def kernel(self, theta: Tensor) -> Tensor:
        return no_kernel(theta)

    def diagnostics(self, theta: Tensor, lam: float, gamma: float, data_position: float) -> dict[str, float]:
        return {}


# --- values -------------------------------------------------------------------------------------------------------


def test_one_sample_is_the_amortised_bound_with_its_rate_sampled() -> None:
    data = blobs(12)
    one, bound = importance_weighted(data, importance_samples=1), amortised(data)
    theta = some_theta(one)
    encoder = {
        k.removeprefix("encoder."): v for k, v in one.layout.unflatten(theta).items() if k.startswith("encoder.")
    }
    mean, log_variance = functional_call(one.networks.encoder, encoder, (data.source.x,)).chunk(2, dim=1)
    deviation = (log_variance / 2).exp()
    z = mean[:, None] + deviation[:, None] * one._noise["source"]
    ratio = Normal(mean[:, None], deviation[:, None]).log_prob(z) - Normal(0.0, 1.0).log_prob(z)
    sampled, analytic = ratio.sum(2).mean(), kl_divergence(Normal(mean, deviation), Normal(0.0, 1.0))
    difference = float(sampled - analytic.sum(1).mean())
    assert abs(difference) > 1e-3
    assert value(one, theta) == pytest.approx(value(bound, theta) + difference, rel=1e-13)


def test_more_samples_lower_the_bound() -> None:
    """On the same noise without exception: the log of a mean is above the mean of the logs."""
    for seed in range(3):
        theta = some_theta(small(1, 16), seed)
        values = [value(small(k, 16), theta) for k in (1, 2, 4, 8, 16)]
        assert all(more < fewer for fewer, more in pairwise(values)), values


@pytest.mark.parametrize("importance_samples", [1, 4, 16])
def test_the_mean_over_the_noise_is_no_less_than_the_exact_free_energy(importance_samples: int) -> None:
    """Jensen: E over noise of J_K is at least −E log Z, and near it for many samples."""
    theta = some_theta(small(1))
    exact = value(ByQuadrature(small(1)), theta)
    values = torch.tensor([value(small(importance_samples, 16, seed), theta) for seed in range(50)])
    mean, error = float(values.mean()), float(values.std()) / 50**0.5
    assert mean > exact - 3 * error
    assert abs(mean - exact) < {1: 10, 4: 1, 16: 0.1}[importance_samples]


def test_distortion_and_classification_loss_are_self_normalised_averages() -> None:
    """D = E Σ w̃ (−log d), C = E Σ w̃ (−log c): by hand, by autograd and in the record of a validation set."""
    data = blobs(12)
    objective = importance_weighted(replace(data, validation=data.source), samples=6, importance_samples=3)
    theta = some_theta(objective)
    at = FreeEnergy(objective, Work()).linearise(theta, controls(LAM, GAMMA))
    codes = objective.codes(theta, data.source, objective._noise["source"])
    log_w = -codes.log_ratio - LAM * codes.distortion - GAMMA * codes.classification_loss
    expected = torch.zeros(2, dtype=torch.float64)
    for n in range(12):
        for group in (slice(0, 3), slice(3, 6)):
            w = log_w[n, group].exp()
            w = w / w.sum()
            expected += torch.stack([w @ codes.distortion[n, group], w @ codes.classification_loss[n, group]]) / 24
    torch.testing.assert_close(at.functionals[1:], expected)
    measured = objective.measure(codes, data.source, *controls(LAM, GAMMA)[:2].unbind())
    names = ("rate", "distortion", "classification_loss")
    torch.testing.assert_close(torch.stack([measured[name] for name in names]), at.functionals)


# --- effective sample size ------------------------------------------------------------------------------------------


def gaussian_posterior(importance_samples: int, latent_dim: int = 2) -> tuple[ImportanceWeighted, Tensor, Tensor]:
    """A linear decoder with orthogonal columns and, set by hand, the encoder e ∝ m d^λ, which is Gaussian.

    Returns:
        The objective, θ, and −log Z of each datum at γ = 0.
    """
    data, variance = blobs(10), 0.3
    objective = ImportanceWeighted(
        data, networks(data, latent_dim, (), ()), latent_dim, Gaussian(variance), 8, 0.0, 0,
        importance_samples=importance_samples,
    )  # fmt: skip
    parameters = objective.layout.unflatten(some_theta(objective))
    columns, _ = torch.linalg.qr(torch.randn(5, latent_dim, generator=generator(5), dtype=torch.float64))
    w = columns * torch.tensor([0.8, 1.7], dtype=torch.float64)[:latent_dim]
    offset = parameters["decoder.0.bias"]
    s2 = 1 / (1 + TEMPERED / variance * w.square().sum(0))
    gain = (TEMPERED / variance * s2)[:, None] * w.T
    parameters |= {
        "decoder.0.weight": w,
        "encoder.0.weight": torch.cat([gain, torch.zeros_like(gain)]),
        "encoder.0.bias": torch.cat([-gain @ offset, s2.log()]),
    }
    theta = torch.cat([parameters[name].flatten() for name in objective.layout.names])
    marginal = MultivariateNormal(offset, w @ w.T + variance / TEMPERED * torch.eye(5, dtype=torch.float64))
    tempering = 2.5 * (log(2 * pi * variance / TEMPERED) - TEMPERED * log(2 * pi * variance))  # d^λ is no density
    return objective, theta, -(marginal.log_prob(data.source.x) + tempering)


@pytest.mark.parametrize("importance_samples", [1, 4, 8])
def test_all_codes_count_where_the_encoder_is_the_gibbs_encoder(importance_samples: int) -> None:
    """e_θ = m d^λ / Z: every weight is Z, so J_K = −E log Z for any K."""
    objective, theta, minus_log_z = gaussian_posterior(importance_samples)
    j = float(objective.free_energy(theta, *controls(TEMPERED, 0.0).unbind()))
    assert j == pytest.approx(float(minus_log_z.mean()), rel=1e-12)
    numbers = objective.diagnostics(theta, TEMPERED, 0.0, 0.0)
    assert numbers["effective_sample_size"] == pytest.approx(importance_samples, rel=1e-12)


@pytest.mark.parametrize("importance_samples", [1, 2, 8])
def test_the_effective_sample_size_lies_between_one_and_k(importance_samples: int) -> None:
    objective = importance_weighted(blobs(12), samples=8, importance_samples=importance_samples)
    for seed in range(3):
        size = objective.diagnostics(some_theta(objective, seed), LAM, GAMMA, 0.0)["effective_sample_size"]
        assert 1 - 1e-12 <= size <= importance_samples + 1e-12
        assert importance_samples == 1 or 1.05 < size < 0.95 * importance_samples


def test_the_label_is_hidden_from_the_codes_that_predict_it() -> None:
    """With a classifier that the weights would follow, the accuracy does not depend on γ."""
    objective = importance_weighted(digits(30, validation=0.2), samples=8, importance_samples=8)
    theta = some_theta(objective)
    numbers = [objective.diagnostics(theta, LAM, gamma, 0.0) for gamma in (0.0, 50.0)]
    for name in ("accuracy", "validation_accuracy"):
        assert numbers[0][name] == numbers[1][name] < 0.6
    assert numbers[1]["validation_classification_loss"] < 0.9 * numbers[0]["validation_classification_loss"]


# --- convergence to the Gibbs encoder -------------------------------------------------------------------------------


@pytest.mark.slow
def test_equilibrium_and_response_converge_to_those_of_the_gibbs_encoder() -> None:
    """(R, D, C), F and M = d(R, D, C)/d(λ, γ) at re-equilibrated θ.

    At K = 1 the codes have collapsed onto the prior; from K = 64 on the noise is left, not K.
    """
    c, precision = controls(LAM, GAMMA), 0.1
    start = equilibrium(small(4, 64), c).theta
    exact = equilibrium(ByQuadrature(small(1)), c, start)
    finer = FreeEnergy(ByQuadrature(small(1), 160), Work()).linearise(exact.theta, c)
    assert finer.residual < 1e-6 and float(exact.functionals[0]) > 0.3
    matrix = linear_response(exact, Dense(), precision).matrix[:, :2]
    errors = []
    for k in (1, 2, 8, 64, 512):
        at = equilibrium(small(k), c, start)
        response = linear_response(at, Dense(), precision).matrix[:, :2]
        errors.append([
            abs(at.value - exact.value),
            float((at.functionals - exact.functionals).abs().max()),
            float((response - matrix).abs().max()),
        ])  # fmt: skip
    assert all(more < fewer for one, two in pairwise(errors[:4]) for fewer, more in zip(one, two)), errors
    assert max(errors[-1]) < 1e-5


# --- whole runs -----------------------------------------------------------------------------------------------------


def test_a_run_from_a_scenario() -> None:
    tree = images()
    tree["objective"] = {
        "kind": "importance_weighted",
        "encoder": {"kind": "mlp", "hidden": [2], "latent_dim": 1},
        "decoder": {"kind": "mlp", "hidden": [2], "likelihood": "bernoulli"},
        "samples": 16,
        "importance_samples": 8,
        "weight_prior_precision": 0.3,
    }
    tree["start"] = {"lam": 1.0, "gamma": 3.0, "equilibrate": {"adam_steps": 200}}
    tree["process"]["path"] = {"lam": 1.1, "gamma": 3.3}
    run = rdc_dyn.run(tree)
    assert run.attrs["status"] == "COMPLETED"
    assert bool(((run.effective_sample_size >= 1) & (run.effective_sample_size <= 8)).all())
    for name in ("accuracy", "fresh_distortion", "validation_rate", "validation_free_energy"):
        assert bool(np.isfinite(run[name]).all())

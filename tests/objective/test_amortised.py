"""The amortised objective against formulas written out by hand, and its frozen noise."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Bernoulli as TorchBernoulli
from torch.distributions import Normal, kl_divergence

from rdc_dyn.curvature.free_energy import FreeEnergy
from rdc_dyn.curvature.linearisation import Work
from rdc_dyn.objective.likelihood import Bernoulli, Gaussian, Likelihood
from rdc_dyn.objective.variational import sobol_normal
from rdc_dyn.record import Record
from rdc_dyn.simulate import noise_gap
from tests.problems import amortised, blobs, controls, generator


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


@pytest.mark.parametrize("likelihood", [Gaussian(0.3), Bernoulli()])
def test_likelihoods_against_torch_distributions(likelihood: Likelihood) -> None:
    output = normal(6, 4)
    if isinstance(likelihood, Gaussian):
        x = normal(5, 4, seed=1)
        expected = Normal(output[None], math.sqrt(0.3)).log_prob(x[:, None]).sum(-1)
    else:
        x = (normal(5, 4, seed=1) > 0).double()
        expected = TorchBernoulli(logits=output[None]).log_prob(x[:, None]).sum(-1)
    torch.testing.assert_close(likelihood.log_prob_table(x, output), expected)
    torch.testing.assert_close(likelihood.log_prob(x[:, None], output[None]), expected)


def test_gaussian_likelihood_integrates_to_one() -> None:
    grid = torch.linspace(-8, 8, 20_001, dtype=torch.float64)
    density = Gaussian(0.7).log_prob(grid[:, None], torch.tensor([[0.4]], dtype=torch.float64)).exp()
    assert float(torch.trapezoid(density, grid)) == pytest.approx(1.0, abs=1e-12)


def test_bernoulli_of_a_grey_pixel_is_the_expectation_over_binary_pixels() -> None:
    logit, grey = torch.tensor([[0.8]], dtype=torch.float64), 0.3
    one, zero = (Bernoulli().log_prob(torch.tensor([[v]]).double(), logit) for v in (1.0, 0.0))
    expected = grey * one + (1 - grey) * zero
    torch.testing.assert_close(Bernoulli().log_prob(torch.tensor([[grey]]).double(), logit), expected)


@pytest.mark.parametrize("bernoulli", [True, False])
def test_rate_distortion_and_classification_loss_by_hand(bernoulli: bool) -> None:
    data = blobs(12)
    objective = amortised(data, bernoulli=bernoulli)
    theta = objective.initial(generator()) + 0.1 * normal(objective.size, seed=2)
    p = objective.layout.unflatten(theta)
    x, y, noise = data.source.x, data.source.y, objective._noise["source"]

    def net(name: str, v: torch.Tensor) -> torch.Tensor:
        hidden = torch.tanh(v @ p[f"{name}.0.weight"].T + p[f"{name}.0.bias"])
        return hidden @ p[f"{name}.2.weight"].T + p[f"{name}.2.bias"]

    mean, log_variance = net("encoder", x).split(2, dim=1)
    deviation = (log_variance / 2).exp()
    rate = kl_divergence(Normal(mean, deviation), Normal(0.0, 1.0)).sum(1).mean()
    losses = torch.zeros(2, dtype=torch.float64)
    for n in range(len(x)):
        for s in range(noise.shape[1]):
            z = mean[n] + deviation[n] * noise[n, s]
            output = net("decoder", z)
            logits = p["classifier.weight"] @ z + p["classifier.bias"]
            losses[0] -= objective.likelihood.log_prob(x[n], output)
            losses[1] -= logits.log_softmax(0)[y[n]]
    expected = torch.cat([rate[None], losses / (len(x) * noise.shape[1])])
    at = FreeEnergy(objective, Work()).linearise(theta, controls(0.7, 1.3))
    torch.testing.assert_close(at.functionals, expected)
    total = expected @ torch.tensor([1.0, 0.7, 1.3], dtype=torch.float64)
    assert at.value == pytest.approx(float(total) + 0.005 * float(theta @ theta), rel=1e-12)
    assert float(at.control_hessian.norm()) == 0.0  # J is linear in (λ, γ)


def test_products_against_the_dense_hessian() -> None:
    objective = amortised(blobs(12))
    theta, c = objective.initial(generator()), controls(0.7, 1.3)
    free_energy = FreeEnergy(objective, Work())
    at = free_energy.linearise(theta, c)

    def value(t: torch.Tensor) -> torch.Tensor:
        return objective.free_energy(t, *c.unbind()) + free_energy.weight_penalty(t)

    hessian = torch.func.hessian(value)(theta)
    v = normal(3, objective.size, seed=3)
    torch.testing.assert_close(at.mm(v), v @ hessian)
    torch.testing.assert_close(at.mv(v[0]), hessian @ v[0])
    assert free_energy.work.hessian_vector_products == 4
    assert free_energy.work.gradient_evaluations == 1
    assert torch.equal(at.mv(v[0]), at.mv(v[0])), "a kept graph gives the same product twice, to the bit"


def test_noise_is_normal_evenly_spread_and_its_own_for_each_datum() -> None:
    noise = sobol_normal(500, 8, 3, seed=0)
    assert noise.shape == (500, 8, 3)
    assert bool(torch.isfinite(noise).all())
    assert float(noise.mean()) == pytest.approx(0.0, abs=0.01)
    assert float(noise.var()) == pytest.approx(1.0, abs=0.02)
    # One point in each eighth of the normal distribution, in every dimension, for every datum.
    eighth = (torch.special.ndtr(noise) * 8).long().sort(dim=1).values
    assert torch.equal(eighth, torch.arange(8)[None, :, None].expand_as(eighth))
    assert not torch.allclose(noise[0], noise[1])
    assert torch.equal(noise, sobol_normal(500, 8, 3, seed=0))
    assert not torch.equal(noise, sobol_normal(500, 8, 3, seed=1))


def test_fresh_noise_is_another_draw() -> None:
    objective = amortised(blobs(12))
    theta = objective.initial(generator())
    numbers = objective.diagnostics(theta, 0.7, 1.3, 0.0)
    at = FreeEnergy(objective, Work()).linearise(theta, controls(0.7, 1.3))
    assert numbers["fresh_distortion"] != pytest.approx(float(at.functionals[1]), abs=1e-12)
    assert numbers["fresh_distortion"] == pytest.approx(float(at.functionals[1]), rel=0.1)


@pytest.mark.parametrize("fresh, warns", [(1.049, False), (1.051, True), (0.949, True)])
@pytest.mark.parametrize("name", ["distortion", "classification_loss"])
def test_warning_where_frozen_and_fresh_noise_part(name: str, fresh: float, warns: bool) -> None:
    values = {"distortion": 1.0, "classification_loss": 1.0, f"fresh_{name}": fresh}
    event = noise_gap(Record(0.0, values, ((0.0,) * 3,) * 3))
    assert (event is not None) == warns
    if event is not None:
        assert name in event.text and "samples" in event.text


def test_validation_data_are_seen_by_nothing_but_the_diagnostics() -> None:
    from tests.problems import digits

    with_validation = amortised(digits(40, validation=0.25))
    assert with_validation.data.validation is not None
    assert (len(with_validation.data.source), len(with_validation.data.validation)) == (30, 10)
    theta = with_validation.initial(generator())
    before = FreeEnergy(with_validation, Work()).linearise(theta, controls(0.7, 1.3))
    with_validation.data.validation.x.zero_()
    after = FreeEnergy(with_validation, Work()).linearise(theta, controls(0.7, 1.3))
    assert before.value == after.value
    assert torch.equal(before.gradient, after.gradient)

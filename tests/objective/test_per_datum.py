"""R, D and C of each datum, fresh noise, whole epochs, and the accuracy of one code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from rdc_dyn.curvature.free_energy import FreeEnergy
from rdc_dyn.curvature.graph import control_hessian
from rdc_dyn.curvature.linearisation import Work
from rdc_dyn.data.coupling import optimal_coupling
from rdc_dyn.data.samples import Data
from rdc_dyn.objective import Amortised
from rdc_dyn.objective.base import PerDatum, terms_of
from tests.problems import amortised, blobs, controls, finite_latent, generator, importance_weighted

OBJECTIVES: dict[str, Callable[[Data], PerDatum]] = {
    "finite_latent": lambda data: finite_latent(data, 3, 1e-2),
    "amortised": amortised,
    "importance_weighted": importance_weighted,
}


def moving(coupled: bool) -> Data:
    source, target = blobs(20, seed=0).source, blobs(30, seed=1).source
    return Data(source, target, None, 3, optimal_coupling(source.x, target.x) if coupled else None)


@pytest.mark.parametrize("coupled", [False, True])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_data_sum_up_to_the_functionals_and_to_the_gradient_of_j(name: str, coupled: bool) -> None:
    """Σ w (R, D, C) and the gradient of R + λD + γC are those of J itself; and so are D and C's own gradients."""
    objective, c = OBJECTIVES[name](moving(coupled)), controls(0.7, 1.3, 0.4)
    theta = objective.initial(generator()).requires_grad_()
    blocks = objective.data.blocks(7)
    each = torch.cat([torch.stack(objective.functionals(block, theta, *c), dim=1) for block in blocks])
    weights = torch.cat([objective.data.weights(block, c[2]) for block in blocks])
    assert float(weights.sum()) == pytest.approx(1.0, rel=1e-13)
    functionals = weights @ each
    at = FreeEnergy(objective, Work()).linearise(theta.detach(), c)
    torch.testing.assert_close(functionals.detach(), at.functionals, rtol=1e-11, atol=1e-12)
    total = functionals @ torch.tensor([1.0, 0.7, 1.3], dtype=theta.dtype)
    (gradient,) = torch.autograd.grad(total, theta, retain_graph=True)
    torch.testing.assert_close(gradient + 1e-2 * theta.detach(), at.gradient, rtol=1e-10, atol=1e-12)
    for row, which in ((0, 1), (1, 2)):
        (gradient,) = torch.autograd.grad(functionals[which], theta, retain_graph=True)
        torch.testing.assert_close(-gradient, at.mixed[row], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("coupled", [False, True])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_explicit_hessian_is_that_of_the_linearisation(name: str, coupled: bool) -> None:
    objective, c = OBJECTIVES[name](moving(coupled)), controls(0.7, 1.3, 0.4)
    theta = objective.initial(generator())
    found = control_hessian(terms_of(objective, objective.data.blocks(7)), theta, c)
    expected = FreeEnergy(objective, Work()).linearise(theta, c).control_hessian
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("size", [4, 7, 30, 100])
def test_an_epoch_has_every_datum_once(size: int) -> None:
    data = moving(coupled=False)
    epoch = list(data.epoch(size, generator(3)))
    assert len(epoch) == data.updates(size) == -(-30 // size)
    for part, count in data.parts.items():
        rows = torch.cat([torch.as_tensor(b.rows) for blocks in epoch for b in blocks if b.part == part])
        assert sorted(rows.tolist()) == list(range(count))
    again, other = list(data.epoch(size, generator(3))), list(data.epoch(size, generator(4)))
    assert all(torch.equal(a.rows, b.rows) for x, y in zip(epoch, again) for a, b in zip(x, y))  # type: ignore[arg-type]
    assert any(not torch.equal(a.rows, b.rows) for x, y in zip(epoch, other) for a, b in zip(x, y))  # type: ignore[arg-type]


def test_fresh_noise_is_drawn_for_minibatches_alone() -> None:
    """Two minibatches of the same data differ, their mean is J over noise; all data keep frozen points."""
    frozen = amortised(blobs(60), samples=2)
    fresh = replace(frozen, fresh=True)
    c, theta = controls(0.5, 1.5), frozen.initial(generator(2))
    everything = FreeEnergy(fresh, Work()).linearise(theta, c)
    same = FreeEnergy(replace(frozen, samples=4), Work()).linearise(theta, c)
    assert torch.equal(everything.gradient, same.gradient)
    draws = generator(5)
    found = torch.stack(
        [torch.tensor(FreeEnergy(fresh, Work()).minibatch(60, draws).value(theta, c)) for _ in range(400)]
    )
    assert float(found.std()) > 1e-4
    many = replace(frozen, samples=512)
    wanted = FreeEnergy(many, Work()).value(theta, c)
    assert abs(float(found.mean()) - wanted) < 5 * float(found.std()) / 20
    with_frozen = [FreeEnergy(frozen, Work()).minibatch(60, draws).value(theta, c) for _ in range(2)]
    assert with_frozen[0] == pytest.approx(with_frozen[1], rel=1e-13)


def test_fresh_noise_comes_in_pairs_of_opposite_sign() -> None:
    """So that what is odd in it cancels: a linear function of z has no noise at all."""
    objective, draws = replace(amortised(blobs(60), samples=4), fresh=True), generator(5)
    noise = [objective.drawn(block, draws).noise for block in objective.data.blocks() for _ in range(2)]
    first, second = (n for n in noise if n is not None)
    assert first.shape == (60, 4, objective.latent_dim) and not torch.equal(first, second)
    assert torch.equal(first.sum(1), torch.zeros_like(first[:, 0]))
    assert float(first.std()) == pytest.approx(1.0, abs=0.1)


def test_code_accuracy_is_the_share_of_codes_that_are_classified_right() -> None:
    objective = amortised(blobs(60), samples=8)
    assert isinstance(objective, Amortised)
    theta = objective.initial(generator(2)) * 3
    numbers = objective.diagnostics(theta, 0.5, 1.5, 0.0)
    (block,) = objective.data.blocks()
    codes = objective.codes(theta, objective.data.source, objective.noise(block))
    right = [
        int(codes.log_classifier[i, k].argmax()) == int(objective.data.source.y[i]) for i in range(60) for k in range(8)
    ]
    assert numbers["code_accuracy"] == pytest.approx(sum(right) / 480, rel=1e-13)
    assert numbers["code_accuracy"] != numbers["accuracy"]


def test_code_accuracy_of_a_finite_alphabet_averages_over_the_encoder_that_does_not_see_the_label() -> None:
    objective = finite_latent(blobs(12), 3, 1e-2)
    theta = objective.initial(generator(2)) + 0.3 * torch.randn(
        objective.size, generator=generator(1), dtype=torch.float64
    )
    log_prior, decoder, log_classifier = objective.tables(theta)
    expected = 0.0
    for x, y in zip(objective.data.source.x, objective.data.source.y):
        weights = [float(log_prior[z] + 0.5 * objective.likelihood.log_prob(x, decoder[z])) for z in range(3)]
        encoder = torch.tensor(weights, dtype=torch.float64).softmax(0)
        expected += float(sum(encoder[z] for z in range(3) if int(log_classifier[z].argmax()) == int(y))) / 12
    assert objective.diagnostics(theta, 0.5, 1.5, 0.0)["code_accuracy"] == pytest.approx(expected, rel=1e-12)

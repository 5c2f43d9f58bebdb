"""The Gauss–Newton matrix against J_fᵀ H J_f written out with torch.func, its sign, and where it is the Hessian."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from rdc_dyn.curvature.free_energy import FreeEnergy
from rdc_dyn.curvature.gauss_newton import GaussNewton
from rdc_dyn.curvature.linearisation import Work
from rdc_dyn.data.coupling import Coupling
from rdc_dyn.data.samples import Data, Sample
from rdc_dyn.linalg import ConjugateGradient
from rdc_dyn.objective import Amortised
from rdc_dyn.objective.likelihood import Bernoulli, Gaussian
from rdc_dyn.objective.networks import Networks
from rdc_dyn.status import UserError
from tests.problems import amortised, blobs, controls, finite_latent, generator, importance_weighted, linear_gaussian

_C = controls(0.7, 1.3)


def _theta(objective: Amortised, scale: float = 0.3, seed: int = 1) -> Tensor:
    start = objective.initial(generator())
    return start + scale * torch.randn(objective.size, generator=generator(seed), dtype=torch.float64)


def _matrix(objective: Amortised, theta: Tensor, at: Tensor = _C, **options: object) -> Tensor:
    return GaussNewton(objective, Work(), theta, at, **options).mm(torch.eye(objective.size).double())  # type: ignore[arg-type]


def _hessian(objective: Amortised, theta: Tensor, at: Tensor = _C) -> Tensor:
    return FreeEnergy(objective, Work()).linearise(theta, at).mm(torch.eye(objective.size).double())


def _by_hand(objective: Amortised, theta: Tensor, at: Tensor, sample: Sample, noise: Tensor) -> Tensor:
    """J_fᵀ H J_f of one sample whose data count alike, by dense derivatives."""
    count, codes = noise.shape[:2]
    split = [n * count for n in (2, 2, codes * objective.data.x_dim, codes * objective.data.classes)]

    def outputs(t: Tensor) -> Tensor:
        mean, log_variance, _, output, logits = functional_call(
            objective.networks, objective.layout.unflatten(t), (sample.x, noise)
        )
        return torch.cat([part.flatten() for part in (mean, log_variance, output, logits)])

    def loss(f: Tensor) -> Tensor:
        mean, log_variance, output, logits = f.split(split)
        rate = 0.5 * (mean**2 + log_variance.exp() - log_variance - 1).sum() / count
        x = sample.x[:, None]
        output, log_c = output.view(count, codes, -1), logits.view(count, codes, -1).log_softmax(2)
        if isinstance(objective.likelihood, Gaussian):
            distortion = ((x - output) ** 2).sum() / (2 * objective.likelihood.variance)
        else:
            distortion = (nn.functional.softplus(output) - x * output).sum()
        right = log_c[torch.arange(count), :, sample.y].sum()
        return rate + at[0] * distortion / (count * codes) - at[1] * right / (count * codes)

    jacobian, f = torch.func.jacrev(outputs)(theta), outputs(theta)
    return jacobian.T @ torch.func.hessian(loss)(f) @ jacobian


def _moving(coupled: bool) -> Data:
    source, target = blobs(8).source, blobs(8, seed=5).source
    if not coupled:
        return Data(source, target, None, 3)
    pairs = torch.arange(8)
    weights = torch.linspace(0.5, 1.5, 8, dtype=torch.float64) / 8
    return Data(source, target, None, 3, Coupling(pairs, (pairs + 3) % 8, weights))


@pytest.mark.parametrize("bernoulli", [True, False])
def test_products_against_dense_jacobians(bernoulli: bool) -> None:
    objective = amortised(blobs(6), samples=2, bernoulli=bernoulli)
    theta, work = _theta(objective), Work()
    expected = _by_hand(objective, theta, _C, objective.data.source, objective._noise["source"])
    expected = expected + objective.weight_prior_precision * torch.eye(objective.size).double()
    operator = GaussNewton(objective, work, theta, _C)
    v = torch.randn(3, objective.size, generator=generator(3), dtype=torch.float64)
    torch.testing.assert_close(operator.mm(v), v @ expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(operator.mv(v[0]), expected @ v[0], rtol=1e-10, atol=1e-12)
    assert (operator.size, operator.kernel.shape) == (objective.size, (0, objective.size))
    assert (work.gradient_evaluations, work.hessian_vector_products) == (1, 4)


def test_mixture_weighs_the_ends_of_the_data() -> None:
    objective = replace(amortised(_moving(False), samples=2), weight_prior_precision=0.0)
    theta, at = _theta(objective), controls(0.7, 1.3, 0.3)
    assert objective.data.target is not None
    source = _by_hand(objective, theta, at, objective.data.source, objective._noise["source"])
    target = _by_hand(objective, theta, at, objective.data.target, objective._noise["target"])
    torch.testing.assert_close(_matrix(objective, theta, at), 0.7 * source + 0.3 * target, rtol=1e-10, atol=1e-12)


def _without_hidden_layers(objective: Amortised) -> tuple[Amortised, slice]:
    """f is linear in the weights of decoder and classifier, which are the last of θ."""
    d, n, classes = objective.latent_dim, objective.data.x_dim, objective.data.classes
    encoder, decoder = nn.Linear(n, 2 * d, device="meta"), nn.Linear(d, n, device="meta")
    plain = replace(objective, networks=Networks(encoder, decoder, nn.Linear(d, classes, device="meta")))
    return plain, slice(plain.size - (d + 1) * (n + classes), plain.size)


@pytest.mark.parametrize("bernoulli", [True, False])
@pytest.mark.parametrize("coupled", [None, False, True])
def test_equals_the_hessian_where_outputs_are_linear(bernoulli: bool, coupled: bool | None) -> None:
    """Mixture and pairs, with their weights and both of their labels, come along."""
    data = blobs(8) if coupled is None else _moving(coupled)
    objective, last = _without_hidden_layers(amortised(data, samples=2, bernoulli=bernoulli))
    theta, at = _theta(objective), controls(0.7, 1.3, 0.0 if coupled is None else 0.3)
    expected = _hessian(objective, theta, at)
    torch.testing.assert_close(_matrix(objective, theta, at)[last, last], expected[last, last], rtol=1e-10, atol=1e-12)
    assert not torch.allclose(_matrix(objective, theta, at), expected), "z is not linear in the encoder's weights"
    alone = controls(0.0, 0.0, float(at[2]))  # the rate is left, whose outputs are linear in all weights
    torch.testing.assert_close(
        _matrix(objective, theta, alone), _hessian(objective, theta, alone), rtol=1e-10, atol=1e-12
    )


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("bernoulli", [True, False])
@pytest.mark.parametrize("coupled", [None, False, True])
def test_semidefinite_where_the_hessian_is_not(seed: int, bernoulli: bool, coupled: bool | None) -> None:
    data = blobs(8) if coupled is None else _moving(coupled)
    objective = replace(amortised(data, samples=2, bernoulli=bernoulli), weight_prior_precision=0.0)
    theta, at = _theta(objective, 1.0, seed), controls(0.7, 1.3, 0.0 if coupled is None else 0.4)
    matrix = _matrix(objective, theta, at)
    torch.testing.assert_close(matrix, matrix.T, rtol=1e-10, atol=1e-10)
    eigenvalues = torch.linalg.eigvalsh(matrix)
    assert float(eigenvalues[0]) >= -1e-12 * float(eigenvalues[-1])
    assert float(torch.linalg.eigvalsh(_hessian(objective, theta, at))[0]) < -1e-2


@pytest.mark.parametrize("coupled", [None, False, True])
def test_blocks_kept_or_recomputed_give_the_same(coupled: bool | None) -> None:
    data = blobs(8) if coupled is None else _moving(coupled)
    objective, work = amortised(data, samples=2), Work()
    theta, at = _theta(objective), controls(0.7, 1.3, 0.0 if coupled is None else 0.4)
    whole = _matrix(objective, theta, at)
    blocks = data.blocks(3)
    torch.testing.assert_close(_matrix(objective, theta, at, blocks=blocks), whole)
    anew = GaussNewton(objective, work, theta, at, blocks, kept=False, width=2)
    torch.testing.assert_close(anew.mm(torch.eye(objective.size).double()), whole)
    assert (work.gradient_evaluations, work.hessian_vector_products) == (0, objective.size)


def test_some_of_the_data_count_as_their_share() -> None:
    objective, work = amortised(blobs(8), samples=2), Work()
    blocks = objective.data.minibatch(2, generator())
    GaussNewton(objective, work, _theta(objective), _C, blocks).mv(_theta(objective))
    assert (work.gradient_evaluations, work.hessian_vector_products) == (0.25, 0.25)


def test_solvers_take_it_where_they_refuse_the_hessian() -> None:
    objective = amortised(blobs(8), samples=2)
    theta = _theta(objective, 1.0)
    solver, rhs = ConjugateGradient(1e-10, max_iterations=2000), _theta(objective, seed=4)[None]
    refused = solver.solve(FreeEnergy(objective, Work()).linearise(theta, _C), rhs)
    assert refused.failure is not None and refused.failure.name == "INDEFINITE"
    with torch.no_grad():  # as the integrator calls
        solution = solver.solve(GaussNewton(objective, Work(), theta, _C), rhs)
    assert solution.failure is None and solution.residual < 1e-9


@dataclass(frozen=True)
class Wavy(Bernoulli):
    convex: ClassVar[bool] = False


def test_refused_where_it_would_be_no_convex_loss() -> None:
    data, vae = blobs(8), amortised(blobs(8))
    for objective in (finite_latent(data, 3, 0.1), importance_weighted(data), linear_gaussian()):
        theta = objective.initial(generator())
        with pytest.raises(UserError, match=f"{type(objective).__name__} has no loss that is convex"):
            GaussNewton(objective, Work(), theta, _C)
    with pytest.raises(UserError, match="Wavy is not convex"):
        GaussNewton(replace(vae, likelihood=Wavy()), Work(), _theta(vae), _C)
    with pytest.raises(UserError, match="must not be negative"):
        GaussNewton(vae, Work(), _theta(vae), controls(0.7, -0.1))

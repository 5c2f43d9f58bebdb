"""Factors against dense blocks of the Gauss-Newton matrix, what the core adds to them, and the iterations it saves."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from rdc_dyn.curvature.free_energy import FreeEnergy
from rdc_dyn.curvature.gauss_newton import GaussNewton
from rdc_dyn.curvature.kfac import Kfac
from rdc_dyn.curvature.linearisation import Work
from rdc_dyn.data.coupling import Coupling
from rdc_dyn.data.samples import Data, Sample
from rdc_dyn.linalg import ConjugateGradient, Kronecker, Preconditioner
from rdc_dyn.linalg.factorisation import materialise
from rdc_dyn.objective import Amortised
from rdc_dyn.objective.likelihood import Bernoulli
from rdc_dyn.objective.networks import Networks
from rdc_dyn.status import UserError
from tests.problems import amortised, blobs, controls, finite_latent, generator, importance_weighted, linear_gaussian

_C = controls(0.7, 1.3)


def _theta(objective: Amortised, scale: float = 0.3) -> Tensor:
    noise = torch.randn(objective.size, generator=generator(1), dtype=torch.float64)
    return objective.initial(generator()) + scale * noise


def _build(objective: Amortised, theta: Tensor, at: Tensor = _C, **options: object) -> Kronecker:
    return Kfac(objective, **options).build(FreeEnergy(objective, Work()).linearise(theta, at))  # type: ignore[arg-type]


def _dense(objective: Amortised, theta: Tensor, at: Tensor = _C) -> Tensor:
    return materialise(GaussNewton(objective, Work(), theta, at))


def _moving(count: int, coupled: bool) -> Data:
    source, target = blobs(count).source, blobs(count, seed=5).source
    if not coupled:
        return Data(source, target, None, 3)
    pairs = torch.arange(count)
    weights = torch.linspace(0.5, 1.5, count, dtype=torch.float64) / count
    return Data(source, target, None, 3, Coupling(pairs, (pairs + 1) % count, weights))


def _assert_blocks(m: Kronecker, dense: Tensor, rho: float) -> None:
    for block in m.blocks:
        places = block.places.flatten()
        basis = torch.kron(block.left, block.right)
        mine = (basis * block.spectrum.flatten()) @ basis.T + rho * torch.eye(len(places), dtype=torch.float64)
        torch.testing.assert_close(mine, dense[places[:, None], places], rtol=1e-9, atol=1e-11)
    covered = torch.cat([block.places.flatten() for block in m.blocks])
    assert len(covered.unique()) == len(covered)


@pytest.mark.parametrize("bernoulli", [True, False])
def test_blocks_are_exact_for_one_datum_and_one_code(bernoulli: bool) -> None:
    objective = amortised(blobs(1), samples=1, bernoulli=bernoulli)
    theta = _theta(objective)
    m = _build(objective, theta, rank=0, probes=None)
    assert sum(block.places.numel() for block in m.blocks) == objective.size
    _assert_blocks(m, _dense(objective, theta), objective.weight_prior_precision)


def test_ends_of_a_mixture_count_by_their_weights() -> None:
    """With the same datum at both ends, and the same code for both, the mixture is that of one datum."""
    one = blobs(1)
    both = Data(one.source, one.source, None, 3)
    objective = amortised(both, samples=1)
    objective._noise["target"].copy_(objective._noise["source"])
    theta, at = _theta(objective), controls(0.7, 1.3, 0.3)
    _assert_blocks(_build(objective, theta, at, rank=0, probes=None), _dense(objective, theta, at), 1e-2)


@pytest.mark.parametrize("coupled", [False, True])
def test_traces_are_exact_where_inputs_do_not_vary(coupled: bool) -> None:
    """Inputs of zero leave the biases, whose block is exact whatever the weights of the data."""
    data = _moving(4, coupled)
    assert data.target is not None
    zeros = [Sample(torch.zeros_like(end.x), end.y) for end in (data.source, data.target)]
    objective = amortised(replace(data, source=zeros[0], target=zeros[1]), samples=2)
    theta, at = _theta(objective), controls(0.7, 1.3, 0.3)
    first = _build(objective, theta, at, rank=0, probes=None).blocks[0]
    places = first.places[:, -1]
    mine = (first.left * (first.right[-1].square() * first.spectrum).sum(1)) @ first.left.T
    dense = _dense(objective, theta, at)[places[:, None], places] - 1e-2 * torch.eye(len(places), dtype=torch.float64)
    torch.testing.assert_close(mine, dense, rtol=1e-9, atol=1e-11)


def test_a_full_core_is_the_matrix_itself() -> None:
    objective = amortised(blobs(6), samples=1)
    theta = _theta(objective)
    m = _build(objective, theta, rank=objective.size, probes=None)
    product = m.apply(_dense(objective, theta))
    torch.testing.assert_close(product, torch.eye(objective.size, dtype=torch.float64), rtol=0, atol=1e-7)


def test_random_directions_have_the_mean_of_all_columns() -> None:
    objective = amortised(blobs(6), samples=2)
    theta = _theta(objective)
    few, exact = (_build(objective, theta, rank=20, probes=probes) for probes in (1000, None))
    for a, b in zip(few.blocks, exact.blocks):
        mine, other = ((x.left * x.spectrum.sum(1)) @ x.left.T for x in (a, b))
        assert float((mine - other).norm() / other.norm()) < 0.1


def test_the_same_seed_gives_the_same_and_it_is_positive() -> None:
    objective = amortised(blobs(12), samples=2)
    theta, eye = _theta(objective), torch.eye(objective.size, dtype=torch.float64)
    for rank in (0, 30):
        once, again = (_build(objective, theta, rank=rank).apply(eye) for _ in range(2))
        assert torch.equal(once, again)
        torch.testing.assert_close(once, once.T, rtol=1e-9, atol=1e-9)
        assert float(torch.linalg.eigvalsh(once)[0]) > 0
    other = _build(objective, theta, rank=30, seed=1).apply(eye)
    assert not torch.equal(other, once)
    negative = _build(objective, theta, controls(0.7, -0.1), rank=30).apply(eye)
    assert float(torch.linalg.eigvalsh(negative)[0]) > 0


def test_parameters_outside_linear_layers_get_a_diagonal() -> None:
    objective = amortised(blobs(12), samples=2)
    encoder = nn.Sequential(nn.LayerNorm(5, device="meta"), *objective.networks.encoder.children())
    plain = objective.networks
    objective = replace(objective, networks=Networks(encoder, plain.decoder, plain.classifier))
    theta = _theta(objective)
    m, dense = _build(objective, theta, probes=2000, rank=0), _dense(objective, theta)
    ours = 1 / m.apply(torch.eye(objective.size, dtype=torch.float64)).diagonal()[:10].view(2, 5)[:, 0]
    torch.testing.assert_close(ours, dense.diagonal()[:10].view(2, 5).mean(1), rtol=0.1, atol=0)


@pytest.mark.parametrize(("steps", "ratio"), [(0, 3.0), (300, 3.0)])
def test_saves_iterations(steps: int, ratio: float) -> None:
    """548 parameters, a core of 200: 4.4 times fewer at a random and at a trained θ; blocks alone save nothing."""
    objective = amortised(blobs(60, dim=20), latent_dim=3, hidden=10, samples=4)
    theta, free_energy = objective.initial(generator()), FreeEnergy(objective, Work())
    optimiser = torch.optim.Adam([theta], lr=1e-2)
    for _ in range(steps):
        _, theta.grad = free_energy.gradient(theta, _C)
        optimiser.step()
    theta = theta.detach()
    at = free_energy.linearise(theta, _C)
    built = Kfac(objective, 200).build(at)

    @dataclass(frozen=True)
    class Built:
        spectral: ClassVar[bool] = False

        def products(self, size: int) -> int:
            return 0

        def build(self, operator: object) -> Kronecker:
            return built

    operator = GaussNewton(objective, Work(), theta, _C)
    plain, ours = (
        ConjugateGradient(1e-6, 5000, preconditioner=p).solve(operator, at.mixed[:2])
        for p in (Preconditioner(memory=0), Preconditioner(Built(), memory=0))
    )
    assert plain.failure is None and ours.failure is None
    assert plain.iterations >= ratio * ours.iterations


def test_cost_grows_with_what_is_asked_for() -> None:
    objective = amortised(blobs(60))
    costs = [Kfac(objective, rank, probes).products(objective.size) for rank, probes in ((0, 2), (50, 2), (50, None))]
    assert 1 <= costs[0] <= costs[1] <= costs[2]


@dataclass(frozen=True)
class Wavy(Bernoulli):
    convex: ClassVar[bool] = False


def test_refused_where_the_loss_is_not_convex() -> None:
    data = blobs(8)
    for objective in (finite_latent(data, 3, 0.1), importance_weighted(data), linear_gaussian()):
        with pytest.raises(UserError, match=f"{type(objective).__name__} has no loss that is convex"):
            Kfac(objective, 5)
    with pytest.raises(UserError, match="Wavy is not convex"):
        Kfac(replace(amortised(data), likelihood=Wavy()), 5)
    with pytest.raises(TypeError, match="not the linearisation of an objective"):
        Kfac(amortised(data), 5).build(GaussNewton(amortised(data), Work(), _theta(amortised(data)), _C))

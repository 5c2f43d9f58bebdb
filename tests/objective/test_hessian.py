"""A in closed form against its products."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import rdc_dyn
from rdc_dyn.curvature import hessian
from rdc_dyn.curvature.free_energy import FreeEnergy
from rdc_dyn.curvature.hessian import price
from rdc_dyn.curvature.linearisation import Linearisation, Work
from rdc_dyn.data.coupling import Coupling
from rdc_dyn.data.samples import Data
from rdc_dyn.linalg import Dense, Factorised, Preconditioner, materialise, spectrum
from rdc_dyn.objective import Amortised, Objective
from rdc_dyn.objective.architectures import mlp
from rdc_dyn.objective.likelihood import Bernoulli, Gaussian
from rdc_dyn.objective.networks import Networks
from rdc_dyn.status import NumericalFailure
from tests.problems import blobs, controls, finite_latent, generator, importance_weighted
from tests.tiny import images

_C = controls(0.7, 2.0, 0.3)


def _objective(
    hidden: tuple[int, ...] = (4,),
    *,
    activation: str = "tanh",
    bernoulli: bool = True,
    classifier: tuple[int, ...] = (),
    data: Data | None = None,
) -> Amortised:
    data, d = data or blobs(9), 2
    networks = Networks(
        mlp((data.x_dim, *hidden, 2 * d), activation),
        mlp((d, *hidden[::-1], data.x_dim), activation),
        mlp((d, *classifier, data.classes), activation),
    )
    return Amortised(data, networks, d, Bernoulli() if bernoulli else Gaussian(0.1), 3, 1e-2, seed=0)


def _at(objective: Objective, work: Work | None = None) -> Linearisation:
    theta = objective.initial(generator())
    theta += 0.3 * torch.randn(theta.shape, generator=generator(1), dtype=torch.float64)
    return FreeEnergy(objective, work or Work()).linearise(theta, _C)


def _products(at: Linearisation) -> Tensor:
    return at.mm(torch.eye(at.size, dtype=torch.float64))


def _assert_closed_form(objective: Objective) -> None:
    at = _at(objective)
    found, expected = at.dense(), _products(at)
    assert found is not None
    assert float((found - expected).norm() / expected.norm()) < 1e-12
    assert torch.equal(found, found.T)


def _moving(coupled: bool) -> Data:
    source, target = blobs(8).source, blobs(8, seed=1).source
    pairs = torch.arange(8)
    weights = torch.linspace(0.5, 1.5, 8, dtype=torch.float64) / 8
    return Data(source, target, None, 3, Coupling(pairs, (pairs + 1) % 8, weights) if coupled else None)


@pytest.mark.parametrize("bernoulli", [True, False], ids=["bernoulli", "gaussian"])
@pytest.mark.parametrize("activation", ["tanh", "softplus"])
@pytest.mark.parametrize("hidden", [(), (4,), (4, 3), (3, 4, 5)])
def test_is_the_matrix_of_the_products(hidden: tuple[int, ...], activation: str, bernoulli: bool) -> None:
    """With a linear classifier and with one of as many hidden layers."""
    for classifier in ((), hidden):
        _assert_closed_form(_objective(hidden, activation=activation, bernoulli=bernoulli, classifier=classifier))


@pytest.mark.parametrize("activation", ["silu", "gelu", "sigmoid"])
def test_other_activations(activation: str) -> None:
    _assert_closed_form(_objective((4, 3), activation=activation))


@pytest.mark.parametrize("coupled", [False, True], ids=["mixture", "pairs"])
def test_moving_data(coupled: bool) -> None:
    """Each with its weight, pairs with both of their labels."""
    _assert_closed_form(_objective(data=_moving(coupled)))


def test_one_class_one_dimension_one_sample() -> None:
    networks = Networks(mlp((1, 1, 2), "tanh"), mlp((1, 1, 1), "tanh"), mlp((1, 1), "tanh"))
    _assert_closed_form(Amortised(blobs(4, dim=1, classes=1), networks, 1, Gaussian(0.1), 1, 0.0, seed=0))


def test_blocks_of_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hessian, "_NUMBERS", 1)
    _assert_closed_form(_objective((4, 3), data=_moving(True)))


def test_a_minibatch_has_its_own() -> None:
    """Its rows are drawn and it has noise of its own; it counts as the share of the data that it is."""
    work = Work()
    objective = replace(_objective(), fresh=True)
    part = FreeEnergy(objective, work).minibatch(3, generator())
    at = part.linearise(objective.initial(generator()), _C)
    found, worth = at.dense(), price(objective)
    assert found is not None and worth is not None
    assert work.hessian_vector_products == pytest.approx(worth / 3)
    torch.testing.assert_close(found, _products(at), rtol=1e-11, atol=1e-12)


def test_frozen_and_missing_parameters_are_no_part_of_it() -> None:
    objective = _objective((4, 3))
    encoder: Any = objective.networks.encoder
    decoder: Any = objective.networks.decoder
    for layer in (encoder[2], decoder[0]):
        layer.to_empty(device="cpu").double()
        for parameter in layer.parameters():
            nn.init.normal_(parameter, generator=generator(2))
    encoder[2].weight.requires_grad_(False)
    decoder[0].bias.requires_grad_(False)
    decoder[4] = nn.Linear(4, 5, bias=False, device="meta")
    _assert_closed_form(replace(objective))


@pytest.mark.parametrize(
    "module",
    [nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 5)), nn.Sequential(nn.Linear(2, 5), nn.Tanh())],
    ids=["relu", "bounded"],
)
def test_products_where_there_is_no_closed_form(module: nn.Module) -> None:
    objective = _objective()
    objective.networks.decoder = module.double()
    for other in (replace(objective), importance_weighted(blobs(9)), finite_latent(blobs(9), 3, 0.1)):
        at = _at(other)
        assert at.dense() is None and price(other) is None
        torch.testing.assert_close(materialise(at), _products(at), rtol=1e-11, atol=1e-11)


def test_shared_weights_have_none() -> None:
    objective = _objective(())
    objective.networks.encoder, shared = nn.Linear(5, 4).double(), nn.Linear(2, 5).double()
    objective.networks.decoder = objective.networks.classifier = shared
    assert price(replace(objective, data=blobs(9, classes=5))) is None


def test_what_forms_a_uses_it_and_counts_what_it_is_worth() -> None:
    work, objective = Work(), _objective((6,))
    at, worth = _at(objective, work), price(objective)
    assert worth is not None and worth < objective.size
    spent = []
    for use in (
        lambda: Factorised(0.0, worth).build(at),
        lambda: Dense().solve(at, torch.ones(1, at.size).double()),
        lambda: spectrum(at, Preconditioner()),
        lambda: Factorised().build(at),
    ):
        before = work.hessian_vector_products
        use()
        spent.append(work.hessian_vector_products - before)
    assert spent == [worth, worth, worth, objective.size]


def test_a_build_in_float32_is_used_in_float64_and_proves_nothing() -> None:
    """It is that of float64 to the precision of float32, at its share of the price."""
    work, objective = Work(), _objective((6,))
    at, worth = _at(objective, work), price(objective)
    assert worth is not None
    single, double = at.dense(torch.float32), at.dense()
    assert single is not None and single.dtype == torch.float32 and double is not None
    assert float((single.double() - double).norm() / double.norm()) < 1e-6
    recipe, before = Factorised(1.0, worth, single=True), work.hessian_vector_products
    rows = torch.ones(2, at.size).double()
    found, expected = (each.build(at).apply(rows) for each in (recipe, Factorised(1.0, worth)))
    assert found.dtype == torch.float64 and not recipe.spectral
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
    assert work.hessian_vector_products - before == recipe.products(at.size) + worth < 2 * worth


def test_a_path_with_factors_in_float32_is_the_same() -> None:
    tree = images(objective={"kind": "amortised", "samples": 4, "weight_prior_precision": 0.3})
    del tree["objective"]["alphabet_size"]
    networks = {"kind": "mlp", "hidden": [4]}
    tree["objective"] |= {"encoder": networks | {"latent_dim": 2}, "decoder": networks | {"likelihood": "bernoulli"}}
    runs = [
        rdc_dyn.run(tree | {"response": {"solver": {"method": "cg", "single": single}}}, progress=False)
        for single in (False, True)
    ]
    for run in runs:
        assert run.attrs["status"] == "COMPLETED"
    np.testing.assert_allclose(runs[0].distortion, runs[1].distortion, rtol=1e-9)
    np.testing.assert_allclose(runs[0].response, runs[1].response, rtol=1e-5, atol=1e-8)


def test_not_finite() -> None:
    at = _at(_objective())
    at.theta[0] = torch.nan
    with pytest.raises(NumericalFailure, match="second derivatives"):
        materialise(at)

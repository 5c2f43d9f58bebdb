"""Modules that make J no function of θ are refused by name, and what a look at them cannot see by evaluating twice."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from rdc_dyn.objective import Amortised, FreeEnergy, Work
from rdc_dyn.objective.free_energy import repetition_error
from rdc_dyn.objective.likelihood import Bernoulli
from rdc_dyn.objective.networks import Networks, refuse_no_function
from rdc_dyn.status import UserError
from tests.problems import amortised, blobs, controls, generator

_C = controls(0.7, 1.3)


def _encoder(module: nn.Module) -> Networks:
    encoder = nn.Sequential(nn.Linear(5, 4), module, nn.Linear(4, 4)).double()
    return Networks(encoder, nn.Linear(2, 5).double(), nn.Linear(2, 3).double())


def _objective(module: nn.Module) -> Amortised:
    return Amortised(blobs(12), _encoder(module), 2, Bernoulli(), 2, 1e-2, seed=0)


def _old_spectral_norm() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.nn.utils.spectral_norm(nn.Linear(4, 4))


REFUSED: dict[str, tuple[Callable[[], nn.Module], str, str]] = {
    "dropout": (lambda: nn.Dropout(0.1), "encoder.1 (Dropout)", "eval()"),
    "alpha": (lambda: nn.AlphaDropout(0.1), "encoder.1 (AlphaDropout)", "weight_prior_precision"),
    "inside": (lambda: nn.Sequential(nn.Tanh(), nn.Dropout(0.5)), "encoder.1.1 (Dropout)", "at random"),
    "rrelu": (nn.RReLU, "encoder.1 (RReLU)", "at random"),
    "attention": (lambda: nn.MultiheadAttention(4, 2, dropout=0.1), "(MultiheadAttention)", "at random"),
    "pooling": (lambda: nn.FractionalMaxPool2d(2, output_size=1).eval(), "(FractionalMaxPool2d)", "at random"),
    "batch norm": (lambda: nn.BatchNorm1d(4), "encoder.1 (BatchNorm1d)", "GroupNorm"),
    "sync": (lambda: nn.SyncBatchNorm(4), "encoder.1 (SyncBatchNorm)", "GroupNorm"),
    "no statistics": (lambda: nn.BatchNorm1d(4, track_running_stats=False).eval(), "(BatchNorm1d)", "sum over data"),
    "instance norm": (lambda: nn.InstanceNorm1d(4, track_running_stats=True), "(InstanceNorm1d)", "GroupNorm"),
    "spectral": (lambda: parametrizations.spectral_norm(nn.Linear(4, 4)), "(_SpectralNorm)", "power iteration"),
    "old spectral": (_old_spectral_norm, "encoder.1 (Linear)", "power iteration"),
}
ACCEPTED: dict[str, Callable[[], nn.Module]] = {
    "no dropout": lambda: nn.Dropout(0.0),
    "dropout at rest": lambda: nn.Dropout(0.5).eval(),
    "rrelu at rest": lambda: nn.RReLU().eval(),
    "group norm": lambda: nn.GroupNorm(2, 4),
    "layer norm": lambda: nn.LayerNorm(4),
    "batch norm at rest": lambda: nn.BatchNorm1d(4).eval(),
    "spectral norm at rest": lambda: parametrizations.spectral_norm(nn.Linear(4, 4)).eval(),
    "relu": nn.ReLU,
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    make, path, advice = REFUSED[name]
    with pytest.raises(UserError) as refusal:
        _objective(make())
    message = str(refusal.value)
    assert message.startswith("networks.encoder.1") and path in message and advice in message
    assert "\n" not in message and refusal.value.exit_code == 2


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted_and_deterministic(name: str) -> None:
    objective, work = _objective(ACCEPTED[name]()), Work()
    FreeEnergy(objective, work).require_deterministic(objective.initial(generator()), _C)
    assert (work.gradient_evaluations, work.hessian_vector_products) == (2, 2)


def test_instance_norm_without_statistics_is_accepted() -> None:
    refuse_no_function(_encoder(nn.InstanceNorm1d(4)))


class Noisy(nn.Module):
    """Randomness in a module's own code, which nothing tells from outside."""

    def forward(self, x: Tensor) -> Tensor:
        return x + 1e-6 * torch.randn_like(x)


def test_randomness_that_hides_is_found_by_evaluating_twice() -> None:
    objective = _objective(Noisy())
    free_energy = FreeEnergy(objective, Work())
    theta = objective.initial(generator())
    assert 0 < free_energy.disagreement(theta, _C) < 1e-4
    with pytest.raises(UserError, match="no function of theta") as refusal:
        free_energy.require_deterministic(theta, _C)
    assert refusal.value.exit_code == 2 and "\n" not in str(refusal.value)


def test_numbers_are_left_as_they_are() -> None:
    objective = amortised(blobs(12))
    state = torch.get_rng_state()
    FreeEnergy(objective, Work()).require_deterministic(objective.initial(generator()), _C)
    assert torch.equal(torch.get_rng_state(), state)


def test_several_threads_may_add_up_in_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert repetition_error(torch.zeros(1)) == 0
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert repetition_error(torch.zeros(1)) == pytest.approx(1e3 * torch.finfo(torch.float32).eps)

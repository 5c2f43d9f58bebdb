"""Modules that make J no function of θ are refused by name, and what a look at them cannot see by evaluating twice."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.utils import parametrizations

from rdc_dyn.curvature.free_energy import FreeEnergy, repetition_error
from rdc_dyn.curvature.gauss_newton import GaussNewton
from rdc_dyn.curvature.kfac import Kfac
from rdc_dyn.curvature.linearisation import Work
from rdc_dyn.curvature.memory import evaluation
from rdc_dyn.objective import Amortised
from rdc_dyn.objective.likelihood import Bernoulli
from rdc_dyn.objective.networks import Layout, Networks, refuse_no_function
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


def test_modules_begin_with_their_own_values() -> None:
    encoder = nn.Sequential(nn.Linear(5, 4), nn.PReLU()).double()
    networks = Networks(encoder, nn.Linear(2, 5, device="meta"), nn.Linear(2, 3).double())
    layout = Layout.of(networks)
    theta = layout.initial(generator())
    begun = layout.unflatten(theta)
    for name, parameter in networks.named_parameters():
        if not parameter.is_meta:
            assert torch.equal(begun[name], parameter)
    assert float(begun["decoder.weight"].std()) > 0 and torch.all(begun["decoder.bias"] == 0)
    assert theta.dtype == torch.float64 and not theta.requires_grad


def test_parameters_without_a_gradient_are_no_part_of_theta() -> None:
    objective = _objective(nn.Linear(4, 4).double().requires_grad_(False))
    free = sum(p.numel() for p in objective.networks.parameters() if p.requires_grad)
    assert objective.size == free and "encoder.1.weight" not in objective.layout.names
    held = objective.networks.encoder[1].weight.clone()  # type: ignore[index]
    theta = objective.initial(generator())
    at = FreeEnergy(objective, Work()).linearise(theta, _C)
    assert at.mv(theta).shape == (free,)
    objective.networks.encoder[1].weight.data.mul_(2)  # type: ignore[index]
    assert FreeEnergy(objective, Work()).value(theta, _C) != pytest.approx(at.value), "it takes part in J all the same"
    objective.networks.encoder[1].weight.data.copy_(held)  # type: ignore[index]
    assert float(Kfac(objective, 5).build(at).apply(theta[None])[0] @ theta) > 0


def test_what_is_shared_is_one_parameter() -> None:
    shared = nn.Linear(2, 3)
    networks = Networks(nn.Linear(5, 4), nn.Sequential(shared, nn.Linear(3, 5)), shared).double()
    objective = Amortised(blobs(12), networks, 2, Bernoulli(), 2, 1e-2, seed=0)
    assert objective.size == 24 + 9 + 20
    free_energy, theta = FreeEnergy(objective, Work()), objective.initial(generator())
    v = torch.randn(objective.size, generator=generator(), dtype=torch.float64)
    expected = (free_energy.value(theta + 1e-5 * v, _C) - free_energy.value(theta - 1e-5 * v, _C)) / 2e-5
    assert float(free_energy.gradient(theta, _C)[1] @ v) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize(
    ("module", "words"),
    [(nn.LazyLinear(4), "no shape yet"), (nn.Linear(4, 4, dtype=torch.complex64), "expected real numbers")],
)
def test_parameters_that_are_no_real_numbers_are_refused(module: nn.Module, words: str) -> None:
    with pytest.raises(UserError, match=words) as refusal:
        Layout.of(Networks(nn.Linear(5, 4), module, nn.Linear(2, 3)))
    assert str(refusal.value).startswith("networks.decoder.weight") and "\n" not in str(refusal.value)


class Once(torch.autograd.Function):
    """x², which cannot be differentiated twice."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.square()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        return 2 * ctx.saved_tensors[0] * slope


class Never(torch.autograd.Function):
    """x², whose backward pass refuses a second one by itself."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.square()

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        return Fails.apply(2 * ctx.saved_tensors[0] * slope)


class Fails(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        raise NotImplementedError("no derivative of it")


class OneByOne(torch.autograd.Function):
    """x, with a backward pass that looks at its numbers, as no batch of vectors allows."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        return slope.clone() if float(slope.detach().abs().max()) >= 0 else slope


class Applied(nn.Module):
    def __init__(self, function: type[torch.autograd.Function]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function.apply(x)


@pytest.mark.parametrize(("function", "words"), [(Once, "not symmetric"), (Never, "cannot be differentiated twice")])
def test_networks_without_second_derivatives_are_refused(function: type[torch.autograd.Function], words: str) -> None:
    """torch itself is silent about the first: it leaves terms of A out."""
    objective = _objective(Applied(function))
    with pytest.raises(UserError, match=words) as refusal:
        evaluation(objective, objective.initial(generator()), _C, "auto", 1e9)
    assert "\n" not in str(refusal.value)


def test_networks_that_take_no_batches_of_vectors_get_one_after_the_other() -> None:
    objective, plain = _objective(Applied(OneByOne)), _objective(nn.Identity())
    theta, v = plain.initial(generator()), torch.eye(plain.size, dtype=torch.float64)[:3]
    products = []
    for each in (objective, plain):
        # Both begin with the same numbers, since theta holds them.
        chosen = evaluation(each, theta, _C, "auto", 1e9)
        products.append(FreeEnergy(each, Work(), chosen.local).linearise(theta, _C).mm(v))
        assert chosen.local.batched == (each is plain)
    torch.testing.assert_close(*products)
    bent = [GaussNewton(objective, Work(), theta, _C, batched=False).mm(v), GaussNewton(plain, Work(), theta, _C).mm(v)]
    torch.testing.assert_close(*bent)
    with pytest.raises(RuntimeError):
        FreeEnergy(objective, Work()).linearise(theta, _C).mm(v)
    with pytest.raises(RuntimeError):
        GaussNewton(objective, Work(), theta, _C).mm(v)


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

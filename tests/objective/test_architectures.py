"""Residual network, deconvolution and perceptron: shapes, beginnings, and everything that is differentiated of them."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, jvp, vjp
from torchvision.models import resnet18

from rdc_dyn.curvature.free_energy import FreeEnergy
from rdc_dyn.curvature.gauss_newton import FromGaussNewton, GaussNewton
from rdc_dyn.curvature.kfac import Kfac
from rdc_dyn.curvature.linearisation import Work
from rdc_dyn.curvature.memory import bytes_per_datum, evaluation
from rdc_dyn.curvature.sum_over_data import Local
from rdc_dyn.data.samples import Data, Sample
from rdc_dyn.linalg import ConjugateGradient, Nystrom, Preconditioner
from rdc_dyn.linalg.factorisation import materialise
from rdc_dyn.objective import Amortised
from rdc_dyn.objective.architectures import ACTIVATIONS, Deconv, Mlp, Shape, mlp
from rdc_dyn.objective.base import terms_of
from rdc_dyn.objective.importance_weighted import ImportanceWeighted
from rdc_dyn.objective.likelihood import Gaussian
from rdc_dyn.objective.networks import Layout, Networks, refuse_no_function
from rdc_dyn.objective.resnet18 import ResNet18
from tests.problems import controls, generator

_C = controls(0.7, 1.3)
_ZERO = torch.zeros((), dtype=torch.float64)


def images(count: int = 3, shape: Shape = (3, 8, 8), classes: int = 3) -> Data:
    x = torch.rand(count, math.prod(shape), generator=generator(), dtype=torch.float64)
    return Data(Sample(x, torch.arange(count) % classes), None, None, classes, shape=shape)


def residual(data: Data, activation: str = "silu", stem: Any = "3x3", samples: int = 1, width: int = 4) -> Amortised:
    smooth = activation if activation in ACTIVATIONS else "silu"
    networks = Networks(
        ResNet18(width, width, activation, stem).build(data.shape, (4,)),
        Deconv(width, smooth).build((2,), data.shape),
        Mlp(()).build((2,), (data.classes,)),
    )
    return Amortised(data, networks, 2, Gaussian(0.1), samples, 1e-2, seed=0)


def deconvolution(data: Data, samples: int = 1) -> Amortised:
    """Small enough for dense matrices."""
    networks = Networks(mlp((data.x_dim, 4), "tanh"), Deconv(1).build((2,), data.shape), mlp((2, 3), "tanh"))
    return Amortised(data, networks, 2, Gaussian(0.1), samples, 1e-2, seed=0)


def _theta(objective: Amortised, scale: float = 0.05) -> Tensor:
    noise = torch.randn(objective.size, generator=generator(1), dtype=torch.float64)
    return objective.initial(generator()) + scale * noise


def _directions(objective: Amortised, count: int) -> Tensor:
    v = torch.randn(count, objective.size, generator=generator(2), dtype=torch.float64)
    return v / v.norm(dim=1, keepdim=True)


def _difference(f: Any, x: Tensor, v: Tensor, h: float) -> Tensor:
    """The derivative along v to fourth order in h."""
    near, far = f(x + h * v) - f(x - h * v), f(x + 2 * h * v) - f(x - 2 * h * v)
    return (8 * near - far) / (12 * h)


def _apart(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm())


# --- shapes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sides", [(1, 1), (2, 3), (7, 5), (8, 8), (28, 28), (9, 13), (32, 32), (31, 17)])
def test_a_deconvolution_has_any_height_and_width(sides: tuple[int, int]) -> None:
    decoder = Deconv(2).build((5,), (3, *sides)).to_empty(device="cpu")
    convolutions = [module for module in decoder.modules() if isinstance(module, nn.ConvTranspose2d)]
    assert [c.out_channels for c in convolutions] == [8, 4, 2, 3]
    assert decoder(torch.zeros(4, 5)).shape == (4, 3 * math.prod(sides))
    assert decoder(torch.zeros(4, 6, 5)).shape == (4, 6, 3 * math.prod(sides))


def test_sizes_of_a_deconvolution_halve_upwards() -> None:
    decoder = Deconv(2).build((5,), (1, 28, 13)).to_empty(device="cpu")
    seen: list[tuple[int, int]] = []
    for module in decoder.modules():
        if isinstance(module, nn.ConvTranspose2d):
            module.register_forward_hook(lambda _, inputs, output: seen.append(tuple(output.shape[2:])))
    decoder(torch.zeros(1, 5))
    assert seen == [(4, 2), (7, 4), (14, 7), (28, 13)]


def test_a_perceptron_is_that_of_kingma_and_welling() -> None:
    encoder = Mlp((500,), "tanh").build((1, 28, 28), (40,))
    assert [tuple(p.shape) for p in encoder.parameters()] == [(500, 784), (500,), (40, 500), (40,)]
    assert [type(module) for module in encoder.children()] == [nn.Linear, nn.Tanh, nn.Linear]


@pytest.mark.parametrize("activation", ["silu", "gelu", "softplus", "tanh", "relu"])
def test_nothing_is_overwritten_in_place(activation: str) -> None:
    encoder = ResNet18(8, 8, activation).build((3, 8, 8), (4,))
    kind = {**ACTIVATIONS, "relu": nn.ReLU}[activation]
    assert sum(type(module) is kind for module in encoder.modules()) == 9
    assert not any(getattr(module, "inplace", False) for module in encoder.modules())


def test_the_standard_width_is_torchvisions_network() -> None:
    """With its stem, ReLU and the same norm: names, shapes and values."""
    theirs = resnet18(norm_layer=partial(nn.GroupNorm, 8), num_classes=6)
    ours = ResNet18(64, 8, "relu", "7x7").build((3, 40, 40), (6,)).to_empty(device="cpu")
    ours.load_state_dict(theirs.state_dict())
    x = torch.rand(2, 3, 40, 40, generator=generator())
    with torch.no_grad():
        torch.testing.assert_close(ours(x.flatten(1)), theirs(x))


def test_the_small_stem_keeps_the_resolution() -> None:
    encoder = ResNet18(4, 4).build((1, 16, 16), (4,)).to_empty(device="cpu")
    seen: list[tuple[int, ...]] = []
    for name in ("layer1", "layer2", "layer3", "layer4"):
        getattr(encoder, name).register_forward_hook(lambda _, inputs, output: seen.append(tuple(output.shape[1:])))
    encoder(torch.zeros(1, 256))
    assert seen == [(4, 16, 16), (8, 8, 8), (16, 4, 4), (32, 2, 2)]


# --- beginnings ---------------------------------------------------------------------------------------------------


def test_weights_begin_glorot_norms_at_one_biases_at_zero() -> None:
    networks = Networks(ResNet18(16, 8).build((3, 8, 8), (4,)), Deconv(16).build((2,), (3, 8, 8)), mlp((2, 3), "tanh"))
    layout = Layout.of(networks)
    begun = layout.unflatten(layout.initial(generator()))
    modules = dict(networks.named_modules())
    for name, value in begun.items():
        path, _, leaf = name.rpartition(".")
        module = modules[path]
        if isinstance(module, nn.GroupNorm) or leaf == "bias":
            assert torch.all(value == (1.0 if leaf == "weight" else 0.0)), name
            continue
        fans = nn.init._calculate_fan_in_and_fan_out(torch.empty(value.shape))
        expected = math.sqrt(2 / sum(fans))
        assert abs(float(value.square().mean().sqrt()) / expected - 1) < 5 / math.sqrt(2 * value.numel()), name


# --- derivatives --------------------------------------------------------------------------------------------------

_SMOOTH = [("silu", "3x3", (3, 8, 8)), ("silu", "3x3", (1, 16, 16)), ("gelu", "7x7", (3, 16, 16))]
_SMOOTH += [("softplus", "3x3", (1, 9, 5)), ("tanh", "3x3", (3, 8, 8))]


@pytest.mark.parametrize(("activation", "stem", "shape"), _SMOOTH)
def test_products_and_mixed_derivatives(activation: str, stem: str, shape: Shape) -> None:
    objective = residual(images(shape=shape), activation, stem)
    free_energy, theta, v = FreeEnergy(objective, Work()), _theta(objective), _directions(objective, 2)
    at = free_energy.linearise(theta, _C)
    single, batched = at.mv(v[0]), at.mm(v)
    expected = _difference(lambda t: free_energy.gradient(t, _C)[1], theta, v[0], 1e-4)
    assert _apart(single, expected) < 1e-8
    assert _apart(batched[0], single) < 1e-12
    for control in range(2):
        unit = torch.eye(3, dtype=torch.float64)[control]
        expected = -_difference(lambda c: free_energy.gradient(theta, c)[1], _C, unit, 1e-2)
        assert _apart(at.mixed[control], expected) < 1e-9  # J is linear in the multipliers


def test_importance_weights_see_through_it_too() -> None:
    plain = residual(images(), samples=4)
    objective = ImportanceWeighted(plain.data, plain.networks, 2, Gaussian(0.1), 4, 1e-2, seed=0, importance_samples=2)
    free_energy, theta, v = FreeEnergy(objective, Work()), _theta(plain), _directions(plain, 1)[0]
    expected = _difference(lambda t: free_energy.gradient(t, _C)[1], theta, v, 1e-4)
    assert _apart(free_energy.linearise(theta, _C).mv(v), expected) < 1e-7


def test_third_derivatives() -> None:
    objective = residual(images())
    free_energy, theta, (v, w) = FreeEnergy(objective, Work()), _theta(objective), _directions(objective, 2)
    rates = torch.tensor([0.3, -0.2, 0.0], dtype=torch.float64)
    drift = free_energy.linearise(theta, _C).drift(v, rates)
    expected = _difference(lambda s: free_energy.linearise(theta + s * v, _C + s * rates).mv(w), _ZERO, _ZERO + 1, 1e-3)
    assert _apart(drift.mv(w), expected) < 1e-7


def test_relu_has_a_gradient_and_is_left() -> None:
    objective = residual(images(), "relu")
    refuse_no_function(objective.networks)
    free_energy, theta = FreeEnergy(objective, Work()), _theta(objective)
    gradient = free_energy.gradient(theta, _C)[1]
    for v in _directions(objective, 5):  # the step is so short that no unit changes its piece
        expected = (free_energy.value(theta + 1e-6 * v, _C) - free_energy.value(theta - 1e-6 * v, _C)) / 2e-6
        assert float(gradient @ v) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("activation", ["silu", "relu"])
def test_a_product_is_the_change_of_the_gradient_over_a_finite_step_only_where_it_is_smooth(activation: str) -> None:
    """On the way units change their piece, which A of a piecewise linear network does not see."""
    objective = residual(images(), activation)
    free_energy, theta, v = FreeEnergy(objective, Work()), _theta(objective), _directions(objective, 1)[0]
    change = _difference(lambda t: free_energy.gradient(t, _C)[1], theta, v, 1e-2)
    error = _apart(free_energy.linearise(theta, _C).mv(v), change)
    assert error < 1e-6 if activation == "silu" else error > 0.1


# --- sums over data -----------------------------------------------------------------------------------------------


def test_blocks_sum_to_the_whole() -> None:
    objective = residual(images(5), samples=2)
    theta, v = _theta(objective), _directions(objective, 2)
    whole = FreeEnergy(objective, Work()).linearise(theta, _C)
    for blocks, kept, batched in ((objective.data.blocks(1), True, True), (objective.data.blocks(2), False, False)):
        parts = Local(terms_of(objective, blocks), kept, 2, batched)
        at = FreeEnergy(objective, Work(), parts).linearise(theta, _C)
        assert at.value == pytest.approx(whole.value, rel=1e-12)
        for mine, theirs in ((at.gradient, whole.gradient), (at.mm(v), whole.mm(v)), (at.mixed, whole.mixed)):
            assert _apart(mine, theirs) < 1e-12


def test_norms_do_not_mix_data() -> None:
    objective = residual(images(4))
    parameters = objective.layout.unflatten(_theta(objective))
    sample, noise = objective.data.source, objective._noise["source"]
    together = functional_call(objective.networks, parameters, (sample.x, noise))
    for row in range(4):
        alone = functional_call(objective.networks, parameters, (sample.x[row : row + 1], noise[row : row + 1]))
        for mine, theirs in zip(alone, together):
            torch.testing.assert_close(mine[0], theirs[row], rtol=1e-12, atol=1e-12)


def test_memory_is_measured_and_decides() -> None:
    objective = residual(images(30))
    theta, v = _theta(objective), _directions(objective, 3)
    each = bytes_per_datum(objective, theta, _C)
    numbers = objective.numbers * theta.element_size()
    assert numbers < each < 20 * numbers
    kept = evaluation(objective, theta, _C, "auto", 1e10)
    anew = evaluation(objective, theta, _C, "auto", 30 * each)
    assert (kept.mode, anew.mode) == ("kept", "recomputed")
    assert 1 < len(anew.local.terms) <= 30
    products = [FreeEnergy(objective, Work(), e.local).linearise(theta, _C).mm(v) for e in (kept, anew)]
    assert _apart(*products) < 1e-12


@pytest.mark.parametrize("convolves", [True, False])
def test_vectors_go_one_after_the_other_through_large_graphs(convolves: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large for each kind of network by a bound of its own; the products are the same."""
    objective = residual(images(4))
    if not convolves:
        dense = Networks(mlp((192, 4), "tanh"), mlp((2, 192), "tanh"), mlp((2, 3), "tanh"))
        objective = replace(objective, networks=dense)
    theta, v = _theta(objective), _directions(objective, 3)
    small = evaluation(objective, theta, _C, "kept", 1e10)
    monkeypatch.setattr("rdc_dyn.curvature.memory._TOGETHER", {convolves: 1, not convolves: 2**40})
    large = evaluation(objective, theta, _C, "kept", 1e10)
    assert (small.local.batched, large.local.batched) == (True, False)
    products = [FreeEnergy(objective, Work(), e.local).linearise(theta, _C).mm(v) for e in (small, large)]
    assert _apart(*products) < 1e-12


# --- matrices -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [True, False])
def test_gauss_newton_products(kept: bool) -> None:
    """J_fᵀ l'' J_f v by forward differentiation, which shares no code with ours."""
    objective = residual(images(), samples=2)
    theta, v = _theta(objective), _directions(objective, 2)
    sample, noise = objective.data.source, objective._noise["source"]

    def outputs(t: Tensor) -> tuple[Tensor, ...]:
        mean, log_variance, _, output, logits = objective.outputs(t, sample, noise)
        return mean, log_variance, output, logits

    (_, log_variance, _, logits), tangents = jvp(outputs, (theta,), (v[0],))[:2]
    count, codes = noise.shape[:2]
    c = logits.softmax(-1)
    lam, gamma = float(_C[0]), float(_C[1])
    curved = (
        tangents[0] / count,
        0.5 * log_variance.exp() * tangents[1] / count,
        lam / 0.1 * tangents[2] / (count * codes),
        gamma * (c * tangents[3] - c * (c * tangents[3]).sum(-1, keepdim=True)) / (count * codes),
    )
    expected = vjp(outputs, theta)[1](curved)[0] + 1e-2 * v[0]
    blocks = None if kept else objective.data.blocks(2)
    operator = GaussNewton(objective, Work(), theta, _C, blocks, kept=kept, batched=kept)
    assert _apart(operator.mv(v[0]), expected) < 1e-10
    assert _apart(operator.mm(v)[0], expected) < 1e-10
    assert float(v[1] @ operator.mv(v[1])) >= 1e-2 - 1e-12


def test_kfac_gives_convolutions_the_average_of_their_diagonal() -> None:
    objective = deconvolution(images(1))
    theta = _theta(objective, 0.3)
    at = FreeEnergy(objective, Work()).linearise(theta, _C)
    m = Kfac(objective, rank=0, probes=None).build(at)
    inverse = m.apply(torch.eye(objective.size, dtype=torch.float64))
    dense = materialise(GaussNewton(objective, Work(), theta, _C)).diagonal()
    names = objective.layout.unflatten(torch.arange(objective.size))
    convolutions = [places.flatten() for name, places in names.items() if name.startswith("decoder")]
    assert len(convolutions) == 8
    for places in convolutions:
        mine = 1 / inverse.diagonal()[places]
        torch.testing.assert_close(mine, dense[places].mean().expand_as(mine), rtol=1e-9, atol=1e-12)


def test_kfac_of_a_residual_network_is_positive() -> None:
    objective = residual(images(), samples=2)
    at = FreeEnergy(objective, Work()).linearise(_theta(objective), _C)
    m = Kfac(objective, rank=5).build(at)
    v = _directions(objective, 3)
    gram = m.apply(v) @ v.T
    torch.testing.assert_close(gram, gram.T, rtol=1e-8, atol=1e-10)
    assert float(torch.linalg.eigvalsh(gram)[0]) > 0


@pytest.mark.slow
def test_nystrom_saves_iterations_on_convolutions() -> None:
    objective = deconvolution(images(20), samples=2)
    theta = _theta(objective, 0.3)
    at = FreeEnergy(objective, Work()).linearise(theta, _C)
    operator, rhs = GaussNewton(objective, Work(), theta, _C), at.mixed[:2]
    recipe = FromGaussNewton(Nystrom(60, objective.weight_prior_precision, 0.0), objective)
    m = recipe.build(at)

    class Built:
        spectral = False

        def products(self, size: int) -> int:
            return 0

        def build(self, _: object) -> object:
            return m

    plain, ours = (
        ConjugateGradient(1e-8, 5000, preconditioner=p).solve(operator, rhs)
        for p in (Preconditioner(memory=0), Preconditioner(Built(), memory=0))  # type: ignore[arg-type]
    )
    assert plain.failure is None and ours.failure is None
    assert plain.iterations > 2 * ours.iterations

"""The checks of `rdc-dyn doctor`: sound objectives pass in both precisions, and each fault is found by its check."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from rdc_dyn.curvature.free_energy import FreeEnergy
from rdc_dyn.curvature.linearisation import Work
from rdc_dyn.data.coupling import Coupling
from rdc_dyn.data.samples import Block, Data, Sample
from rdc_dyn.doctor import Check, Report, diagnose, examine, show
from rdc_dyn.doctor.measure import measure
from rdc_dyn.doctor.report import two_places
from rdc_dyn.dynamics import State
from rdc_dyn.objective import Amortised, FiniteLatent, LinearGaussian, Objective
from rdc_dyn.objective.base import no_kernel
from rdc_dyn.objective.likelihood import Bernoulli, Gaussian
from rdc_dyn.scenario import from_mapping
from rdc_dyn.status import UserError
from tests.problems import amortised, blobs, controls, generator, importance_weighted, linear_gaussian, networks
from tests.tiny import images

_SCENARIO = from_mapping(images())


def _checks(objective: Objective, *, t: float = 0.0, dtype: torch.dtype = torch.float64) -> dict[str, Check]:
    state = State(objective.initial(generator()).to(dtype), controls(0.7, 1.3, t).to(dtype))
    return {check.name: check for check in examine(two_places(FreeEnergy(objective, Work()), state))}


def _failed(objective: Objective) -> set[str]:
    return {name for name, check in _checks(objective).items() if not check.passed}


def _data(dtype: torch.dtype, moving: str = "") -> Data:
    def sample(seed: int) -> Sample:
        found = blobs(40, seed=seed).source
        return Sample(found.x.to(dtype), found.y)

    if not moving:
        return Data(sample(0), None, None, 3)
    pairs = torch.arange(40)
    coupling = Coupling(pairs, (pairs + 3) % 40, torch.full((40,), 1 / 40, dtype=dtype))
    return Data(sample(0), sample(5), None, 3, coupling if moving == "pairs" else None)


def _linear_gaussian(dtype: torch.dtype) -> LinearGaussian:
    like = linear_gaussian()
    assert like.target is not None
    return LinearGaussian(3, 2, 2, 0.4, 0.2, like.source.to(dtype), like.target.to(dtype))


SOUND: dict[str, Callable[[torch.dtype], Objective]] = {
    "amortised": lambda dtype: amortised(_data(dtype)),
    "amortised gaussian mixture": lambda dtype: amortised(_data(dtype, "mixture"), bernoulli=False),
    "importance weighted": lambda dtype: importance_weighted(_data(dtype)),
    "finite latent pairs": lambda dtype: FiniteLatent(_data(dtype, "pairs"), 3, Gaussian(0.2), 0.0),
    "linear gaussian": _linear_gaussian,
}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("name", SOUND)
def test_sound_objectives_pass_with_room_to_spare(name: str, dtype: torch.dtype) -> None:
    objective = SOUND[name](dtype)
    checks = _checks(objective, t=0.3 * objective.moves, dtype=dtype)
    assert len(checks) == 12 + 2 * objective.moves + (name != "linear gaussian")
    for check in checks.values():
        assert check.passed, check
        assert check.strain < 0.3, check


# --- faults -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Spoilt:
    """J = ½ |θ − θ³/3|² + λ Σ sin θ + γ Σ cos θ and a fault."""

    fault: Callable[[Tensor, Tensor], Tensor]
    exact: bool = True
    weight_prior_precision: float = 0.0
    moves: bool = False
    size: int = 6

    def free_energy(self, theta: Tensor, lam: Tensor, gamma: Tensor, data_position: Tensor) -> Tensor:
        value = 0.5 * (theta - theta**3 / 3).square().sum() + lam * theta.sin().sum() + gamma * theta.cos().sum()
        return self.fault(value, theta)

    def initial(self, generator: torch.Generator) -> Tensor:
        return torch.linspace(0.2, 1.5, 6, dtype=torch.float64)

    def kernel(self, theta: Tensor) -> Tensor:
        return no_kernel(theta)

    def diagnostics(self, theta: Tensor, lam: float, gamma: float, data_position: float) -> dict[str, float]:
        return {}


class Scaled(Function):
    """The identity with a backward pass that is a little too large."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return value.clone()

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        return 1.00001 * slope


class Lopsided(Function):
    """x y, whose gradient is said to be (y, x/2), which is that of no function."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor) -> Tensor:
        ctx.save_for_backward(x, y)
        return x * y

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, Tensor]:
        x, y = ctx.saved_tensors
        return slope * y, 0.5 * slope * x


class Square(Function):
    """x², whose derivative does not know that it depends on x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        return 2 * slope * ctx.saved_tensors[0].detach()


class Cube(Function):
    """x³ with a right second and a wrong third derivative."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        return 3 * slope * Square.apply(ctx.saved_tensors[0])


class Once(Function):
    """x² whose second derivative torch leaves out without a word."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        return 2 * slope * ctx.saved_tensors[0]


class Unfinished(Function):
    """The identity with a backward pass that is still to be written."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        raise NotImplementedError("the derivative is\nnot implemented")


class Half(Function):
    """x² whose derivative cannot be differentiated."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        return 2 * slope * Unfinished.apply(ctx.saved_tensors[0])


def test_the_model_without_a_fault_passes() -> None:
    assert not _failed(Spoilt(lambda value, theta: value))


def test_a_gradient_that_is_wrong_in_the_fifth_digit() -> None:
    """A is the derivative of the wrong gradient, so nothing but J itself tells."""
    failed = _failed(Spoilt(lambda value, theta: Scaled.apply(value)))
    assert failed == {"grad J is the slope of J", "D is dJ/dlam", "C is dJ/dgamma"}


def test_a_gradient_of_no_function() -> None:
    failed = _failed(Spoilt(lambda value, theta: value + Lopsided.apply(theta[0], theta[1])))
    assert {"grad J is the slope of J", "A v is the slope of grad J", "A is symmetric"} <= failed


def test_randomness() -> None:
    failed = _failed(Spoilt(lambda value, theta: value * (1 + 1e-9 * torch.rand((), dtype=theta.dtype))))
    assert "the same twice" in failed


@pytest.mark.parametrize("function", [Square, Once])
def test_second_derivatives_that_miss_a_part(function: type[Function]) -> None:
    failed = _failed(Spoilt(lambda value, theta: value + function.apply(theta).sum()))
    assert "A v is the slope of grad J" in failed and "grad J is the slope of J" not in failed


def test_third_derivatives_that_are_missing() -> None:
    assert _failed(Spoilt(lambda value, theta: value + Cube.apply(theta).sum())) == {"dA/ds is the slope of A"}


def test_what_torch_refuses_is_a_finding_in_its_words() -> None:
    checks = _checks(Spoilt(lambda value, theta: value + Half.apply(theta).sum()))
    check = checks["A v is the slope of grad J"]
    assert not check.passed and check.hint.endswith("(the derivative is)")
    assert checks["grad J is the slope of J"].passed


def test_of_numbers_that_are_not_finite_nothing_else_is_said() -> None:
    checks = _checks(Spoilt(lambda value, theta: value + (theta[0] - 0.2).abs().sqrt()))
    assert "all numbers are finite" in {name for name, check in checks.items() if not check.passed}
    nowhere = _checks(Spoilt(lambda value, theta: value * torch.nan))
    assert list(nowhere) == ["all numbers are finite"]
    assert not nowhere["all numbers are finite"].passed


@dataclass(frozen=True)
class Deaf(FiniteLatent):
    """λ enters as a number, so that D is not seen."""

    def block_energy(self, block: Block, theta: Tensor, lam: Tensor, gamma: Tensor, data_position: Tensor) -> Tensor:
        return super().block_energy(block, theta, lam.detach(), gamma, data_position)


@dataclass(frozen=True)
class Mixing(Amortised):
    """A loss that looks at a block as a whole, as a normalisation over a batch does."""

    def block_energy(self, block: Block, theta: Tensor, lam: Tensor, gamma: Tensor, data_position: Tensor) -> Tensor:
        value = super().block_energy(block, theta, lam, gamma, data_position)
        return value + block.share * (value / block.share) ** 2


def test_a_multiplier_that_is_read_as_a_number() -> None:
    failed = _failed(Deaf(blobs(12), 3, Bernoulli(), 0.1))
    assert failed == {"D is dJ/dlam", "b_lam is -d(grad J)/dlam", "dA/ds is the slope of A"}


def test_data_that_are_mixed_within_a_block() -> None:
    data = blobs(60)
    failed = _failed(Mixing(data, networks(data, 2, (4,), (4,)), 2, Bernoulli(), 2, 1e-2, seed=0))
    assert failed == {"kept and recomputed graphs"}


def test_a_bend_that_the_usual_step_cannot_follow() -> None:
    """J bends within a thousandth of |θ|: the differences are taken over less."""
    assert not _failed(Spoilt(lambda value, theta: value + 0.1 * torch.sin(2000 * theta[0])))


# --- measures and output ------------------------------------------------------------------------------------------


def test_measures_say_what_they_are_for() -> None:
    objective = amortised(_data(torch.float64, "mixture"))
    state = State(objective.initial(generator()), controls(0.7, 1.3, 0.5))
    free_energy = FreeEnergy(objective, Work())
    found = dict(measure(_SCENARIO, free_energy, state))
    assert found["parameters"] == str(objective.size)
    assert found["data"] == "40 source, 40 target"
    assert found["graph"].startswith("kept: twice") and "fit into" in found["graph"]
    assert all(found[name].endswith("gradients") for name in ("product", "Gauss-Newton product"))
    assert "%" not in found["gradient"]
    little = from_mapping(images(linearisation={"memory": 1e-5, "graph": "auto"}))
    found = dict(measure(little, free_energy, state))
    assert found["graph"].startswith("recomputed: twice") and "exceed" in found["graph"]
    assert "% of the data" in found["gradient"]


def test_several_processes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rdc_dyn.doctor.report.build", lambda *_: SimpleNamespace(group="ours"))
    with pytest.raises(UserError, match="torchrun"):
        diagnose(_SCENARIO, Path())


def test_lines_and_tables(capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = Check("good", 1e-12, 1e-9, "unsaid"), Check("bad", float("nan"), 1e-9, "look [there]")
    assert good.passed and not bad.passed and bad.strain > good.strain
    assert not Report((good, bad)).healthy and Report((good,)).healthy
    show((good, bad), {"parameters": "12"})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["good", "1.0e-12", "<=", "1.0e-09", "ok"]
    assert lines[1].endswith("FAILED") and lines[2].strip() == "look [there]"
    assert lines[-1].split() == ["parameters", "12"]
    drawn = io.StringIO()
    show((good, bad), {"parameters": "12"}, Console(file=drawn, width=80))
    assert "FAILED" in drawn.getvalue() and "bad: look [there]" in drawn.getvalue() and "unsaid" not in drawn.getvalue()

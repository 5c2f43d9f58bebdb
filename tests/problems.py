"""Problems with known answers, shared by the tests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

from rdc_dyn.curvature.free_energy import FreeEnergy
from rdc_dyn.curvature.linearisation import Linearisation, Work
from rdc_dyn.data.datasets import load_data
from rdc_dyn.data.samples import Data, Sample
from rdc_dyn.dynamics import (
    Integrator,
    IsoFunctional,
    LinearResponse,
    Minimiser,
    Monitor,
    NewtonKrylov,
    NoCorrector,
    Process,
    State,
    StepSize,
)
from rdc_dyn.linalg import ConjugateGradient, Dense, Factorised, LinearSolver, Preconditioner
from rdc_dyn.objective import Amortised, FiniteLatent, ImportanceWeighted, LinearGaussian, Objective
from rdc_dyn.objective.architectures import mlp
from rdc_dyn.objective.base import no_kernel
from rdc_dyn.objective.likelihood import Bernoulli, Gaussian
from rdc_dyn.objective.networks import Networks
from rdc_dyn.record import Event, Record
from rdc_dyn.scenario.sections.integrators import METHODS
from rdc_dyn.simulate import Point, Problem, simulate, to_record
from tests.named_data import named, sets

FLOAT = torch.zeros((), dtype=torch.float64)
ORDERS = {name: method.order for name, method in METHODS.items()}
_ORACLE = Path(__file__).resolve().parents[2] / "shared" / "oracles" / "linear_gaussian.json"


def controls(lam: float, gamma: float, data_position: float = 0.0) -> Tensor:
    return torch.tensor([lam, gamma, data_position], dtype=torch.float64)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# --- linear-Gaussian ----------------------------------------------------------------------------------------------


def oracle() -> dict[str, Any]:
    """The reference problem and its answers; the test is skipped where the file is not at hand."""
    if not _ORACLE.is_file():
        pytest.skip("the reference values shared/oracles/linear_gaussian.json are not beside the checkout")
    return dict(json.loads(_ORACLE.read_text()))


def oracle_objective(
    problem: dict[str, Any], path: Literal["mixture", "optimal_transport"] = "mixture"
) -> LinearGaussian:
    return LinearGaussian(
        problem["x_dim"],
        problem["y_dim"],
        problem["latent_dim"],
        problem["distortion_variance"],
        problem["label_variance"],
        torch.tensor(problem["source_second_moment"], dtype=torch.float64),
        torch.tensor(problem["target_second_moment"], dtype=torch.float64),
        path,
    )


def second_moment(dim: int, seed: int) -> Tensor:
    """A well-conditioned random second moment whose largest eigenvalues stand out."""
    factor = torch.randn(dim, dim, generator=generator(seed), dtype=torch.float64)
    orthogonal, _ = torch.linalg.qr(factor)
    spectrum = torch.linspace(4.0, 0.3, dim, dtype=torch.float64)
    return orthogonal @ torch.diag(spectrum) @ orthogonal.T


def linear_gaussian(x_dim: int = 3, y_dim: int = 2, latent_dim: int = 2, seed: int = 3) -> LinearGaussian:
    """A problem of our own, so that nothing depends on the reference file."""
    moment = second_moment(x_dim + y_dim, seed)
    return LinearGaussian(x_dim, y_dim, latent_dim, 0.4, 0.2, moment, second_moment(x_dim + y_dim, seed + 1))


def closed_form(objective: LinearGaussian, lam: Tensor, gamma: Tensor, data_position: Tensor) -> Tensor:
    """F(λ, γ, t) by eigenvalues; differentiable, and shares no code with the objective."""
    n, m, q = objective.x_dim, objective.y_dim, objective.latent_dim
    assert objective.target is not None
    moment = objective.source + data_position * (objective.target - objective.source)
    sigma, tau = objective.distortion_variance, objective.label_variance
    scale = torch.cat([(lam / sigma).sqrt().expand(n), (gamma / tau).sqrt().expand(m)])
    ell = torch.linalg.eigvalsh(scale[:, None] * moment * scale).flip(0)
    active = (torch.arange(n + m) < q) & (ell > 1)
    constant = 0.5 * n * lam * torch.log(2 * torch.pi * FLOAT.new_tensor(sigma))
    constant = constant + 0.5 * m * gamma * torch.log(2 * torch.pi * FLOAT.new_tensor(tau))
    return constant + 0.5 * torch.where(active, ell.log() + 1, ell).sum()


def closed_form_hessian(objective: LinearGaussian, at: Tensor) -> tuple[Tensor, Tensor]:
    """(∂F, ∂²F) in (λ, γ, t) of the closed form."""

    def free_energy(c: Tensor) -> Tensor:
        return closed_form(objective, c[0], c[1], c[2])

    return torch.func.grad(free_energy)(at), torch.func.hessian(free_energy)(at)


# --- digits -------------------------------------------------------------------------------------------------------


def digits(limit: int | None, validation: float = 0.0, classes: Sequence[int] | None = None) -> Data:
    selection = named("digits", None if classes is None else tuple(classes), limit)
    return load_data(sets(selection), validation, 0, unit_interval=True, like=FLOAT)


def finite_latent(data: Data, alphabet_size: int, precision: float, *, bernoulli: bool = False) -> FiniteLatent:
    return FiniteLatent(data, alphabet_size, Bernoulli() if bernoulli else Gaussian(0.2), precision)


def networks(data: Data, latent_dim: int, encoder_hidden: tuple[int, ...], decoder_hidden: tuple[int, ...]) -> Networks:
    return Networks(
        mlp((data.x_dim, *encoder_hidden, 2 * latent_dim), "tanh"),
        mlp((latent_dim, *decoder_hidden, data.x_dim), "tanh"),
        nn.Linear(latent_dim, data.classes, device="meta"),
    )


def amortised(
    data: Data, *, latent_dim: int = 2, hidden: int = 4, samples: int = 4, bernoulli: bool = True
) -> Amortised:
    likelihood = Bernoulli() if bernoulli else Gaussian(0.1)
    return Amortised(
        data, networks(data, latent_dim, (hidden,), (hidden,)), latent_dim, likelihood, samples, 1e-2, seed=0
    )


def importance_weighted(data: Data, *, samples: int = 4, importance_samples: int = 4) -> ImportanceWeighted:
    like = amortised(data, samples=samples)
    return ImportanceWeighted(
        data, like.networks, like.latent_dim, like.likelihood, samples, 1e-2, 0, importance_samples=importance_samples
    )


def blobs(count: int = 60, dim: int = 5, classes: int = 3, seed: int = 0) -> Data:
    """Three clouds in [0, 1]^dim, for tests that need many small problems."""
    g = generator(seed)
    centres = 0.2 + 0.6 * torch.rand(classes, dim, generator=g, dtype=torch.float64)
    y = torch.arange(count) % classes
    x = (centres[y] + 0.1 * torch.randn(count, dim, generator=g, dtype=torch.float64)).clamp(0, 1)
    return Data(Sample(x, y), None, None, classes)


# --- closed forms with one parameter ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fold:
    """J = θ³/3 − (1 − λ)θ + D₀: minima θ = √(1 − λ) that end at λ = 1, where θ' = −1/2θ blows up.

    With `beyond` another well far to the left takes over there.
    """

    beyond: bool = False
    poison: float = float("inf")
    exact: bool = True
    weight_prior_precision: float = 0.0
    moves: bool = False
    size: int = 1

    def free_energy(self, theta: Tensor, lam: Tensor, gamma: Tensor, data_position: Tensor) -> Tensor:
        x = theta[0]
        value = x**3 / 3 - (1 - lam) * x + 0.3 * gamma
        if self.beyond:
            value = value + torch.nn.functional.softplus(-x - 3) ** 4
        return torch.where(lam > self.poison, torch.nan, 1.0) * value

    def initial(self, generator: torch.Generator) -> Tensor:
        return torch.ones(1, dtype=torch.float64)

    def kernel(self, theta: Tensor) -> Tensor:
        return no_kernel(theta)

    def diagnostics(self, theta: Tensor, lam: float, gamma: float, data_position: float) -> dict[str, float]:
        return {}


# --- running ------------------------------------------------------------------------------------------------------


def equilibrium(
    objective: Objective, at: Tensor, start: Tensor | None = None, tolerance: float = 1e-12
) -> Linearisation:
    """∇J linearised at a minimum for the given controls."""
    free_energy = FreeEnergy(objective, Work())
    theta = objective.initial(generator()) if start is None else start
    minimum = Minimiser(Preconditioner(Factorised()), tolerance).minimise(free_energy, State(theta, at))
    assert minimum.failure is None, minimum
    return minimum.at


def problem(
    objective: Objective,
    process: Process,
    lam: float,
    gamma: float,
    integrator: Integrator,
    step_size: float,
    *,
    corrector: bool = True,
    solver: LinearSolver | None = None,
    tolerance: float = 1e-10,
    data_position: float = 0.0,
    smallest: float = 1e-4,
    on_fold: Literal["stop", "relax", "follow"] = "stop",
    look_ahead: bool = True,
    baumgarte: float = 0.0,
    adam_steps: int = 0,
) -> Problem:
    """A problem with tight solves, so that nothing but the integrator's error is left."""
    solver = solver or ConjugateGradient(rtol=1e-12, preconditioner=Preconditioner(Factorised()))
    return Problem(
        free_energy=FreeEnergy(objective, Work()),
        process=process,
        response=LinearResponse(solver),
        integrator=integrator,
        corrector=NewtonKrylov(solver, tolerance) if corrector else NoCorrector(),
        minimiser=Minimiser(Preconditioner(Factorised()), min(tolerance, 1e-11)),
        step_size=StepSize(step_size, smallest),
        start=State(objective.initial(generator()), controls(lam, gamma, data_position)),
        adam_steps=adam_steps,
        learning_rate=1e-2,
        on_fold=on_fold,
        monitor=Monitor(Preconditioner(Factorised())) if look_ahead else None,
        baumgarte=baumgarte,
    )


def points_and_events(run: Problem) -> tuple[list[Point], list[Event]]:
    """All points of a run, and all events."""
    items = list(simulate(run))
    return [i for i in items if isinstance(i, Point)], [i for i in items if isinstance(i, Event)]


def trajectory(problem: Problem) -> tuple[list[Record], str]:
    """All records of a run and the name of its status."""
    records, status = [], ""
    for item in simulate(problem):
        if isinstance(item, Point):
            records.append(to_record(problem, item))
        elif isinstance(item, Event) and item.kind == "end":
            status = item.values["status"]
    return records, status


def first_point(problem: Problem) -> Point:
    """The first equilibrium of a problem."""
    return next(item for item in simulate(problem) if isinstance(item, Point))


__all__ = [
    "Dense",
    "Fold",
    "IsoFunctional",
    "amortised",
    "blobs",
    "closed_form",
    "closed_form_hessian",
    "controls",
    "digits",
    "equilibrium",
    "finite_latent",
    "first_point",
    "importance_weighted",
    "linear_gaussian",
    "networks",
    "oracle",
    "oracle_objective",
    "points_and_events",
    "problem",
    "trajectory",
]

"""Minibatches: reproducible, unbiased; and a corrector on them that converges."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from rdc_dyn.curvature.free_energy import FreeEnergy
from rdc_dyn.curvature.linearisation import Work
from rdc_dyn.curvature.sum_over_data import Local
from rdc_dyn.data.samples import Data
from rdc_dyn.dynamics import Gradient, Integrator, IsoFunctional, Secant, State, VarianceReduced
from rdc_dyn.dynamics.correctors.gradient import stream
from rdc_dyn.linalg import Nystrom, Preconditioner
from rdc_dyn.linalg.factorised import Factorised
from rdc_dyn.linalg.recipe import Identity
from rdc_dyn.objective import Amortised
from rdc_dyn.objective.base import terms_of
from rdc_dyn.status import Status
from tests.problems import amortised, blobs, controls, equilibrium, generator, points_and_events, problem

AT = controls(0.5, 1.5)


@pytest.fixture(scope="module")
def clouds() -> tuple[Amortised, State]:
    """240 data in three clouds, and their equilibrium at (0.5, 1.5) a step away from where it is wanted."""
    objective = amortised(blobs(240))
    return objective, State(equilibrium(objective, AT).theta, controls(0.8, 2.5))


def pairs() -> Amortised:
    source, target = blobs(40, seed=1), blobs(30, seed=2)
    return amortised(Data(source.source, target.source, None, 3))


def test_a_stream_belongs_to_seed_and_theta() -> None:
    a, b = torch.zeros(3), torch.tensor([0.0, 0.0, 1e-12])
    drawn = [torch.rand(4, generator=stream(seed, theta)) for seed, theta in ((0, a), (0, a), (1, a), (0, b))]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2]) and not torch.equal(drawn[0], drawn[3])


def test_minibatch_adam_is_reproducible_to_the_bit(clouds: tuple[Amortised, State]) -> None:
    objective, state = clouds
    ends = []
    for seed in (3, 3, 4):
        work = Work()
        done = Gradient(30, batch=16, seed=seed).correct(FreeEnergy(objective, work), state, None)
        assert done.failure is None and done.at is not None
        assert work.gradient_evaluations == pytest.approx(30 * 16 / 240 + 1)
        ends.append(done.state.theta)
    assert torch.equal(ends[0], ends[1])
    assert not torch.equal(ends[0], ends[2])


def test_a_whole_run_on_minibatches_is_reproducible_to_the_bit() -> None:
    ends = []
    for _ in range(2):
        run = problem(
            amortised(blobs(60)), IsoFunctional((0.0, 0.2)), 0.5, 1.5, Integrator("euler"), 0.05, look_ahead=False,
            baumgarte=20.0, adam_steps=300,
        )  # fmt: skip
        run = replace(
            run, response=Secant(predictor=False), corrector=Gradient(40, batch=16), adam_batch=16,
            minimiser=replace(run.minimiser, max_steps=0, tolerance=10.0),
        )  # fmt: skip
        points, events = points_and_events(run)
        assert events[-1].values["status"] == "COMPLETED"
        ends.append(torch.cat([points[-1].at.theta, points[-1].at.controls]))
    assert torch.equal(ends[0], ends[1])


@pytest.mark.parametrize("moving", [False, True])
def test_minibatch_gradients_are_unbiased(moving: bool) -> None:
    """The mean over many is the full gradient within five standard errors; over a partition it is exact."""
    objective, at = (pairs(), controls(0.5, 1.5, 0.4)) if moving else (amortised(blobs(60)), AT)
    theta, free_energy = objective.initial(generator(2)), FreeEnergy(objective, Work())
    _, full = free_energy.gradient(theta, at)
    draws = generator(5)
    found = torch.stack([free_energy.minibatch(12, draws).gradient(theta, at)[1] for _ in range(400)])
    error = found.std(dim=0) / 400**0.5
    assert float(((found.mean(dim=0) - full).abs() / (error + 1e-12)).max()) < 5
    parts = Local(terms_of(objective, objective.data.blocks(12)))
    _, summed = FreeEnergy(objective, Work(), parts).gradient(theta, at)
    torch.testing.assert_close(summed, full, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(("data_position", "evaluated"), [(0.0, 12), (0.4, 24), (1.0, 12)])
def test_a_part_without_weight_is_drawn_but_not_evaluated(data_position: float, evaluated: int) -> None:
    """J and its gradient are the same to the bit, and so is what is drawn next."""
    objective = pairs()
    at, theta, found = controls(0.5, 1.5, data_position), objective.initial(generator(2)), []
    for t in (None, at[2]):
        draws, work = generator(5), Work()
        value, gradient = FreeEnergy(objective, work).minibatch(12, draws, t).gradient(theta, at)
        found.append((value, gradient, torch.rand(3, generator=draws)))
    assert found[0][0] == found[1][0]
    assert torch.equal(found[0][1], found[1][1]) and torch.equal(found[0][2], found[1][2])
    assert work.gradient_evaluations == pytest.approx(evaluated / 70)


def test_adam_alone_prepares_a_start_or_says_what_it_reached() -> None:
    run = problem(
        amortised(blobs(60)), IsoFunctional((0.0, 0.2)), 0.5, 1.5, Integrator("euler"), 0.1, look_ahead=False,
        adam_steps=300,
    )  # fmt: skip
    run = replace(run, adam_batch=20, response=Secant(predictor=False), corrector=Gradient(10))
    loose = replace(run, minimiser=replace(run.minimiser, max_steps=0, tolerance=10.0))
    points, _ = points_and_events(loose)
    reached = points[0].at.residual
    assert reached <= 10.0
    tight = replace(run, minimiser=replace(run.minimiser, max_steps=0, tolerance=0.5 * reached))
    points, events = points_and_events(tight)
    assert not points and events[-1].values["status"] == Status.NOT_AT_EQUILIBRIUM.name
    assert f"Adam alone reached |grad J| = {reached:.3g}" in events[-1].values["detail"]


@pytest.mark.parametrize("name", ["factorised", pytest.param("nystrom", marks=pytest.mark.slow)])
def test_variance_reduced_converges_linearly(clouds: tuple[Amortised, State], name: str) -> None:
    """Each tenth of |∇J| costs about as much as the one before, and far below where minibatch Adam stays."""
    objective, state = clouds
    recipe = Factorised() if name == "factorised" else Nystrom(30, 1e-2)
    costs = []
    for tolerance in (1e-5, 1e-6, 1e-7):
        work = Work()
        corrector = VarianceReduced(Preconditioner(recipe), tolerance, 40, 8, 400, 0.2)
        done = corrector.correct(FreeEnergy(objective, work), state, None)
        assert done.failure is None and done.at is not None, done.detail
        assert done.at.residual <= tolerance
        assert torch.equal(done.state.controls, state.controls)
        costs.append(work.gradient_evaluations)
    assert costs[2] - costs[1] < 2 * (costs[1] - costs[0]) + 10
    adam = Gradient(int(6 * costs[1]), batch=40).correct(FreeEnergy(objective, Work()), state, None)
    assert adam.at is None or adam.at.residual > 1e-4


@pytest.mark.slow
def test_variance_reduced_is_reproducible_and_never_worse(clouds: tuple[Amortised, State]) -> None:
    """From far away, where A is indefinite, with a step that is far too long: it descends or fails, never worse."""
    objective, _ = clouds
    far = State(objective.initial(generator(7)), AT)
    before = FreeEnergy(objective, Work()).linearise(far.theta, far.controls)
    for step, preconditioner in ((1.0, Preconditioner(Factorised())), (50.0, Preconditioner(Identity()))):
        corrector = VarianceReduced(preconditioner, 1e-6, 20, 10, 30, step)
        one, two = (corrector.correct(FreeEnergy(objective, Work()), far, None) for _ in range(2))
        if one.failure is None:
            assert one.at is not None and one.at.value <= before.value
        else:
            assert one.failure is Status.CORRECTOR_DIVERGED and "|grad J|" in one.detail
            assert torch.equal(one.state.theta, far.theta)
        assert one.failure is two.failure


def test_a_curvature_subset_gives_a_and_nothing_else(clouds: tuple[Amortised, State]) -> None:
    """A v is that of J over the subset, with the weight prior; J, ∇J and b are those of all data."""
    objective, state = clouds
    blocks = objective.data.minibatch(50, generator(9))
    some = Local(terms_of(objective, blocks))
    v = torch.randn(3, objective.size, generator=generator(1), dtype=torch.float64)
    mixed = FreeEnergy(objective, Work(), None, some, curvature_share=50 / 240).linearise(state.theta, state.controls)
    subset = FreeEnergy(objective, Work(), some).linearise(state.theta, state.controls)
    whole = FreeEnergy(objective, Work()).linearise(state.theta, state.controls)
    torch.testing.assert_close(mixed.mm(v), subset.mm(v), rtol=1e-12, atol=1e-13)
    assert float((mixed.mm(v) - whole.mm(v)).norm()) > 1e-3 * float(whole.mm(v).norm())
    for name in ("value", "gradient", "mixed", "functionals"):
        torch.testing.assert_close(getattr(mixed, name), getattr(whole, name), rtol=1e-12, atol=1e-13)

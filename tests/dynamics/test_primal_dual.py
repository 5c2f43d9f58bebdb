"""The stochastic bordered corrector on exact ground: closed forms, Newton's path, its meter and its refusals."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from rdc_dyn.curvature.free_energy import FreeEnergy
from rdc_dyn.curvature.linearisation import Work
from rdc_dyn.data.samples import Block, Data, Sample
from rdc_dyn.dynamics import (
    Constraint,
    Feedback,
    Geco,
    GeodesicTransfer,
    Integrator,
    IsoFunctional,
    IsoFunctionalTransfer,
    NuPi,
    PrimalDual,
    Process,
    SecantFilter,
    State,
)
from rdc_dyn.dynamics.correctors.base import Departure, Memory
from rdc_dyn.dynamics.correctors.dual import Controlled, Plant
from rdc_dyn.dynamics.correctors.minibatch_descent import Average, Descent, Mixture, _size
from rdc_dyn.dynamics.correctors.primal_dual import Judgement, Round, _carried, _persistence, _restored, _seen
from rdc_dyn.dynamics.state import relative_change
from rdc_dyn.objective import LinearGaussian, Objective
from rdc_dyn.objective.base import Functionals
from rdc_dyn.simulate import Point, Problem, simulate
from rdc_dyn.simulate.step import advance
from rdc_dyn.status import NumericalFailure, Status
from tests.dynamics.test_transfer import pair
from tests.problems import (
    amortised,
    blobs,
    closed_form_hessian,
    controls,
    equilibrium,
    finite_latent,
    generator,
    linear_gaussian,
    points_and_events,
    problem,
)

RATES = (1e-3, 3e-4)
HOLD_C, BY_GAMMA = ((0.0, 0.0, 1.0),), ((0.0, 1.0, 0.0),)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Two threads on small tensors wait for each other on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def constraint(value: float, weights: Any = HOLD_C, directions: Any = BY_GAMMA, slope: float = -0.1) -> Constraint:
    rows = [torch.tensor(row, dtype=torch.float64) for row in (weights, directions)]
    values = torch.tensor([value], dtype=torch.float64)
    return Constraint(rows[0], values, rows[1], torch.tensor([[slope]], dtype=torch.float64))


def descent(free_energy: FreeEnergy, theta: Tensor, c: Tensor, held: Constraint | None, batch: int = 10) -> Descent:
    return Descent(free_energy, theta, c, held, Feedback(), None, batch, RATES, generator(1))


# --- the meter ----------------------------------------------------------------------------------------------------


def test_the_meter_reads_all_data_where_theta_rests() -> None:
    """At η = 0 each reading is (R, D, C) of all data, whatever the minibatch."""
    objective, c = amortised(blobs(60)), controls(0.5, 1.5)
    free_energy, theta = FreeEnergy(objective, Work()), objective.initial(generator(2))
    epoch = descent(free_energy, theta, c, constraint(0.5)).average(1, 0.0)
    expected = free_energy.linearise(theta, c).functionals
    torch.testing.assert_close(epoch.readings, expected.expand(6, 3), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(epoch.theta, theta, rtol=1e-14, atol=1e-15)


def test_the_meter_follows_losses_that_drift() -> None:
    """Losses that grow evenly are read without the lag of the table, and without SAGA's excess in an epoch."""
    objective, c = amortised(blobs(600)), controls(0.5, 1.5)
    free_energy, theta = FreeEnergy(objective, Work()), objective.initial(generator(2))
    at = descent(free_energy, theta, c, None, batch=6)
    start, errors = at._losses.clone(), []
    for number in range(30):
        for k, (block,) in enumerate(objective.data.epoch(6, generator(number))):
            clock = number + k / 100
            each = start[block.rows] + clock
            reading = at._meter((block,), objective.data.weights(block, c[2]), each, k / 100)
            errors.append(float((reading - start.mean(0) - clock).mean()))
    by_phase = torch.tensor(errors[100:]).view(29, 10, 10).mean((0, 2))  # tenths of an epoch
    assert float(by_phase.abs().max()) < 0.02  # of a drift of one an epoch; all of the change would read 1 at the end


def test_what_noise_adds_is_known_at_two_learning_rates_and_in_proportion_to_none() -> None:
    """C of 5 nat at η and of 1 at 0.3 η, as where noise grows faster than η; a later observation counts by 0.4.

    Its error is how far the last observation was from those before.
    """
    objective, c = amortised(blobs(60)), controls(0.5, 1.5)
    at = descent(FreeEnergy(objective, Work()), objective.initial(generator(2)), c, constraint(0.5))
    seen = torch.tensor([0.1, 0.2, 1.0], dtype=torch.float64)
    at.learn_bias(5 * seen, RATES[0])
    at.learn_bias(seen, RATES[1])
    for rate, share in ((RATES[0], 5.0), (RATES[1], 1.0), (6.5e-4, 3.0)):
        torch.testing.assert_close(at._at_rate(at.bias, rate), share * seen)
    at.learn_bias(2 * seen, RATES[1])
    torch.testing.assert_close(at.bias, torch.stack([5 * seen, 1.4 * seen]))
    torch.testing.assert_close(at._doubt, torch.stack([5 * seen, seen]))


def test_a_step_begins_without_a_jump() -> None:
    """η P h = 10 along the stiffest direction, which is stable with momentum, up to 38, and without it only up to 2.

    Momentum that grows from nothing keeps θ as near as it began; by Adam's correction the first update would be the
    whole gradient's, and would go nine times as far.
    """
    objective, c = amortised(blobs(60)), controls(0.5, 1.5)
    free_energy, at = FreeEnergy(objective, Work()), equilibrium(objective, c, tolerance=1e-10)
    hessian = at.dense()
    assert hessian is not None
    stiffness, stiffest = (part[..., -1] for part in torch.linalg.eigh(hessian))
    offset, losses = 1e-4 * stiffest, torch.zeros((60, 3), dtype=torch.float64)
    memory = Memory(losses, torch.ones_like(at.theta), losses[:0, :0], losses[:2], losses[:2], 10_000)
    rate, far = 10 / float(stiffness), []
    begun = Descent(free_energy, at.theta + offset, c, None, Feedback(), memory, 60, (rate, 0.3 * rate), generator(1))
    for _ in range(10):
        begun.average(1, rate)
        far.append(float((begun.theta - at.theta).norm() / offset.norm()))
    assert max(far) < 1


def test_the_error_of_a_mean_is_what_drifts_and_what_the_readings_leave_open() -> None:
    """σ/√n beside the rise that noise happens to have, and the rise of a line without scatter."""
    noise = torch.randn((10_000, 3), generator=generator(3), dtype=torch.float64)
    line = torch.linspace(0, 2, 10_001, dtype=torch.float64)[1:, None].expand(-1, 3)
    still, drifting = (Average(noise[0], noise[0], readings, 2, 0.0, 0.0) for readings in (noise, line))
    scatter = still.error.square() - (2 * still.drift).square()
    torch.testing.assert_close(scatter, torch.full_like(scatter, 1e-4), rtol=5e-2, atol=0)
    torch.testing.assert_close(drifting.error, torch.full_like(scatter, 2.0), rtol=1e-3, atol=0)


@pytest.mark.parametrize(
    ("weights", "directions", "rows"),
    [(HOLD_C, BY_GAMMA, 2), (HOLD_C, ((0.6, 0.8, 0.0),), 3), (((0.5, 0.0, 1.0),), BY_GAMMA, 3)],
)
def test_a_mixture_gives_j_what_is_held_and_what_a_multiplier_multiplies(
    weights: Any, directions: Any, rows: int
) -> None:
    """∇J, ∇h and ∇(d·(D, C)) are the same combinations of the rows' gradients as of those of R, D and C."""
    c, held = controls(0.7, 1.3), constraint(0.0, weights, directions)
    mixture = Mixture.of(held)
    assert len(mixture) == rows
    losses = torch.rand(3, generator=generator(1), dtype=torch.float64)
    values = torch.stack(mixture.values(list(losses), c))
    assert float(mixture.of_controls(c) @ values) == pytest.approx(float(losses[0] + 0.7 * losses[1] + 1.3 * losses[2]))
    torch.testing.assert_close(mixture.of_weights(held.weights) @ values, held.weights @ losses)
    torch.testing.assert_close(mixture.of_directions(held.directions) @ values, held.directions[:, :2] @ losses[1:])


def test_a_step_that_is_tried_again_meets_other_minibatches() -> None:
    objective, c = finite_latent(blobs(60), 3, 1e-2), controls(0.6, 2.0)
    free_energy, theta = FreeEnergy(objective, Work()), equilibrium(objective, c, tolerance=1e-9).theta
    corrector = primal_dual(10, 1e-9, 6, 2)
    noise = [
        float(corrector.correct(free_energy, State(theta, goal), None).notes["gradient_noise"])
        for goal in (c, c, controls(0.6, 2.0 + 1e-9))
    ]
    assert noise[0] == noise[1] and abs(noise[2] / noise[0] - 1) > 1e-4


def test_multipliers_at_rest_cost_no_more_than_none() -> None:
    """Two held functionals need three gradients of an update while feedback moves λ and γ, and one when these rest."""
    objective, c = finite_latent(blobs(60), 3, 1e-2), controls(0.6, 2.0)
    free = torch.eye(2, 3, dtype=torch.float64)
    held = Constraint(free, tensors(1.0, 0.5), free, torch.diag(tensors(-1.0, -0.1)))
    ends, cost = [], []
    for constraint_ in (None, held):
        free_energy = FreeEnergy(objective, Work())
        at = descent(free_energy, objective.initial(generator(2)), c, constraint_)
        at.fix(c)
        free_energy.work.gradient_evaluations = 0.0
        ends.append(at.average(2, 1e-3).theta)
        cost.append(free_energy.work.gradient_evaluations)
    assert torch.equal(*ends) and cost == pytest.approx([2.0, 2.0])


# --- carrying θ on ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("origin", "goal", "share"),
    [
        ((0.6, 2.0, 0.0), (1.25, 2.0, 0.0), 4 / 9),  # λ went by a half of its mean, and now by two ninths
        ((0.8, 2.0, 0.0), (2.0, 2.0, 0.0), 1.0),
        ((0.6, 2.0, 0.0), (0.8, 2.0, 0.0), 0.0),
        ((0.6, 2.0, 0.0), (1.0, 4.0, 0.0), 0.0),
        ((1.0, 2.0, 0.0), (1.25, 2.0, 0.0), 0.0),
    ],
)
def test_theta_goes_on_as_far_as_the_multipliers_do(
    origin: tuple[float, ...], goal: tuple[float, ...], share: float
) -> None:
    losses = torch.zeros((0, 3), dtype=torch.float64)
    memory = Memory(losses, tensors(), losses, losses, losses, 0, origin=State(tensors(1.0, 2.0), controls(*origin)))
    at: Any = SimpleNamespace(theta=tensors(1.0, 4.0), controls=controls(1.0, 2.0))
    end = State(at.theta, controls(*goal))
    carried = _carried(Departure(at, memory, {}), end)
    assert carried is not None
    torch.testing.assert_close(carried, tensors(0.0, 2 * share))
    assert _carried(Departure(at, replace(memory, origin=None), {}), end) is None
    assert _carried(Departure(at, memory, {}), replace(end, theta=at.theta + 1e-9)) is None


def test_t_goes_on_in_its_logarithm_too() -> None:
    """From 0 to 0.001, to 0.003 and to 0.009: near zero the unit of t is a thousandth."""
    changes = [
        float(relative_change(controls(1.0, 2.0, a), controls(1.0, 2.0, b))[2])
        for a, b in ((0.0, 0.001), (0.001, 0.003), (0.003, 0.009))
    ]
    assert changes == pytest.approx([1.0, 1.0, 1.0])
    assert relative_change(controls(0.0, 1.0), controls(0.25, 3.0)).tolist() == [2.0, 1.0, 0.0]


def test_a_slow_direction_keeps_up_with_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """At a tenth of the rate that θ needs, J ends nearer to its minimum where θ is carried on."""
    objective, process, excess = finite_latent(blobs(240), 3, 1e-2), IsoFunctional((0.6, 1.2), clock="lam"), []
    run = problem(objective, process, 0.6, 2.0, Integrator("euler"), 0.1, look_ahead=False, adam_steps=200)
    for carries in (True, False):
        if not carries:
            monkeypatch.setattr("rdc_dyn.dynamics.correctors.primal_dual._carried", lambda *_: None)
        found, events = points_and_events(stochastic(run, primal_dual(24, 3e-4, 40, 8)))
        assert events[-1].values["status"] == "COMPLETED"
        end = found[-1].at
        excess.append(end.value - equilibrium(objective, end.controls, tolerance=1e-9).value)
    assert 0 < excess[0] < 0.5 * excess[1]


# --- paths --------------------------------------------------------------------------------------------------------


def primal_dual(batch: int, learning_rate: float, updates: int, epochs: int) -> PrimalDual:
    return PrimalDual(batch, learning_rate, updates, epochs, tolerance=5e-3, dissipation=1e-2)


def stochastic(run: Problem, corrector: PrimalDual) -> Problem:
    return replace(run, corrector=corrector, response=SecantFilter())


def exact_and_stochastic(
    objective: Objective, process: Process, step: float, corrector: PrimalDual, t: float = 0.0
) -> tuple[Any, Any]:
    """Newton's path and that of the minibatches, from one start."""
    run = problem(
        objective, process, 0.6, 2.0, Integrator("euler"), step, look_ahead=False, adam_steps=200, data_position=t
    )
    exact, events = points_and_events(run)
    assert events[-1].values["status"] == "COMPLETED", events
    found, events = points_and_events(stochastic(run, corrector))
    assert events[-1].values["status"] == "COMPLETED", events
    return exact, found


def test_minibatches_walk_the_exact_iso_classification_path() -> None:
    """Gibbs sums over three codes: γ(λ), (R, D) and M within what the corrector says of them."""
    corrector = primal_dual(24, 3e-3, 200, 8)
    objective = finite_latent(blobs(240), 3, 1e-2)
    exact, found = exact_and_stochastic(objective, IsoFunctional((0.6, 1.2), clock="lam"), 0.2, corrector)
    for one, other in zip(exact, found, strict=True):
        assert float(other.at.controls[1]) == pytest.approx(float(one.at.controls[1]), rel=2e-3)
        assert float(other.at.functionals[2]) == pytest.approx(float(found[0].at.functionals[2]), rel=1e-3)
        torch.testing.assert_close(other.at.functionals[:2], one.at.functionals[:2], rtol=2e-3, atol=0)
        assert other.at.residual <= other.notes["gradient_noise"]
        slopes, errors = other.response.matrix[1:, :2], other.response.error[1:, :2]
        assert bool(((slopes - one.response.matrix[1:, :2]).abs() < 3 * errors).all())
    assert float(found[-1].response.error[2, 0]) < 0.1 * float(found[0].response.error[2, 0])


@pytest.mark.slow
def test_a_transfer_by_minibatches_begins_at_the_source_and_ends_at_the_target() -> None:
    data = Data(blobs(120, seed=0).source, blobs(120, seed=1).source, None, 3)
    corrector = primal_dual(24, 3e-3, 100, 8)
    process = IsoFunctionalTransfer((0.0, 1.0), 0.0)
    exact, found = exact_and_stochastic(finite_latent(data, 3, 1e-2), process, 0.1, corrector)
    assert found[-1].time == 1.0
    held = float(found[0].at.functionals[2])
    assert all(abs(float(point.at.functionals[2]) - held) < 5e-3 * held for point in found)
    assert float(found[-1].at.controls[1]) == pytest.approx(float(exact[-1].at.controls[1]), rel=1e-2)


@dataclass(frozen=True)
class Rows:
    """The linear-Gaussian J over rows (x, y) whose second moment is S: J is linear in S, so minibatches estimate it."""

    exact_one: LinearGaussian
    data: Data
    exact: bool = True

    @property
    def moves(self) -> bool:
        return self.data.target is not None

    @property
    def size(self) -> int:
        return self.exact_one.size

    @property
    def weight_prior_precision(self) -> float:
        return self.exact_one.weight_prior_precision

    def free_energy(self, theta: Tensor, lam: Tensor, gamma: Tensor, t: Tensor) -> Tensor:
        return self.exact_one.free_energy(theta, lam, gamma, t)

    def block_energy(self, block: Block, theta: Tensor, lam: Tensor, gamma: Tensor, t: Tensor) -> Tensor:
        rate, d, c = self.functionals(block, theta, lam, gamma, t)
        return self.data.weights(block, t) @ (rate + lam * d + gamma * c)

    def functionals(self, block: Block, theta: Tensor, lam: Tensor, gamma: Tensor, t: Tensor) -> Functionals:
        """(R, D, C) of each row by its posterior N(μ, Λ⁻¹), Λ = I + Bᵀ P B; R is its divergence from N(0, I)."""
        one, rows = self.exact_one, self.data.sample(block, t).x
        n, m, q = one.x_dim, one.y_dim, one.latent_dim
        b, variances = theta.view(n + m, q), (one.distortion_variance, one.label_variance)
        precision = torch.cat([(lam / variances[0]).expand(n), (gamma / variances[1]).expand(m)])
        covariance = torch.linalg.inv(torch.eye(q, dtype=b.dtype) + b.T @ (precision[:, None] * b))
        mean = rows @ (precision[:, None] * b) @ covariance
        squares = (rows - mean @ b.T).square() + (b @ covariance @ b.T).diagonal()
        d, c = (
            0.5 * squares[:, part].sum(1) / v + 0.5 * len(range(n + m)[part]) * math.log(2 * math.pi * v)
            for part, v in zip((slice(0, n), slice(n, n + m)), variances)
        )
        rate = 0.5 * (mean.square().sum(1) + covariance.diagonal().sum() - q - torch.logdet(covariance))
        return rate, d, c

    def drawn(self, block: Block, generator: torch.Generator) -> Block:
        return block

    def initial(self, generator: torch.Generator) -> Tensor:
        return self.exact_one.initial(generator)

    def kernel(self, theta: Tensor) -> Tensor:
        return self.exact_one.kernel(theta)

    def diagnostics(self, theta: Tensor, lam: float, gamma: float, data_position: float) -> dict[str, float]:
        return {}


def rows_of(moment: Tensor, count: int, seed: int) -> Sample:
    """Rows r for which the mean of r rᵀ is a given second moment to rounding."""
    d = len(moment)
    values, vectors = torch.linalg.eigh(moment)
    frame = torch.linalg.qr(torch.randn(count, d, generator=generator(seed), dtype=torch.float64))[0] * count**0.5
    rows = frame @ torch.diag(values.sqrt()) @ vectors.T
    torch.testing.assert_close(rows.T @ rows / count, moment)
    return Sample(rows, torch.zeros(count, dtype=torch.int64))


def gaussian_paths(objective: LinearGaussian, process: Process, lam: float, gamma: float) -> tuple[Any, Any]:
    """Newton's path of the closed J, and that of minibatches of rows, from the same equilibrium."""
    run = problem(objective, process, lam, gamma, Integrator("euler"), 0.1, look_ahead=False)
    exact, events = points_and_events(run)
    assert events[-1].values["status"] == "COMPLETED", events
    target = None if objective.target is None else rows_of(objective.target, 200, 5)
    wrapped = Rows(objective, Data(rows_of(objective.source, 200, 4), target, None, 1))
    run = stochastic(run, primal_dual(20, 2e-3, 900, 12))
    run = replace(
        run, free_energy=FreeEnergy(wrapped, Work()), start=exact[0].state,
        minimiser=replace(run.minimiser, max_steps=0, tolerance=1.0),
    )  # fmt: skip
    found, events = points_and_events(run)
    assert events[-1].values["status"] == "COMPLETED", events
    return exact, found


@pytest.mark.slow
def test_minibatches_of_gaussian_rows_reproduce_the_closed_form() -> None:
    """(D, C) of the closed form where the path has led, and γ of the exact path within the error that is stated."""
    objective = replace(linear_gaussian(), target=None)
    exact, found = gaussian_paths(objective, IsoFunctional((1.0, 1.2), clock="lam"), 1.0, 1.0)
    for one, other in zip(exact, found, strict=True):
        forces, _ = closed_form_hessian(replace(objective, target=objective.source), other.at.controls)
        torch.testing.assert_close(other.at.forces[:2], forces[:2], rtol=1e-2, atol=0)
        missed = abs(float(other.at.controls[1] - one.at.controls[1]))
        assert missed <= other.notes["gamma_error"] + 5e-3


@pytest.mark.slow
def test_two_functionals_are_held_by_both_multipliers() -> None:
    """The geodesic: (R, D) stays on its line and C where it was, with λ and γ of the exact one."""
    process = GeodesicTransfer((0.0, 0.3), -3.0)
    exact, found = gaussian_paths(pair((4, 2, 2)), process, 3.0, 4.0)
    weights = torch.tensor(process.held, dtype=torch.float64)
    first = found[0].at.functionals
    for point in found:
        deviation = weights @ (point.at.functionals - first)
        assert bool((deviation.abs() < 5e-3 * (weights.abs() @ first.abs())).all())
    torch.testing.assert_close(found[-1].at.controls, exact[-1].at.controls, rtol=5e-2, atol=0)


# --- rules --------------------------------------------------------------------------------------------------------


def tensors(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


PLANT = Plant(tensors(0.02)[:, None], tensors(-0.05)[:, None], tensors(0.2), tensors(0.0), tensors(4.0))
AT_REST = Controlled(tensors(0.0), tensors(0.0), tensors(0.0))


def test_feedback_answers_as_the_surface_would_and_no_faster_than_the_plant_allows() -> None:
    rule = Feedback(gain=1.0, integral=0.5)
    slow = replace(PLANT, gain=tensors(1e-4)[:, None])
    done = rule.step(AT_REST, tensors(0.001), slow)
    error = 0.001 / 5
    assert float(done.error) == pytest.approx(error)
    assert float(done.amount) == pytest.approx(0.5 * (1e-4 / 0.05) * error / 0.05)
    assert float(done.used) == pytest.approx((1 + 0.5 * (1e-4 / 0.05)) * error / 0.05)
    fast = rule.step(AT_REST, tensors(0.001), replace(PLANT, gain=tensors(10.0)[:, None]))
    assert float(fast.amount) == pytest.approx(error / 12 / 10 / 12)
    clipped = rule.step(AT_REST, tensors(7.0), slow)
    assert float(clipped.error) == pytest.approx(0.1 * 0.2)


def test_feedback_answers_only_what_stands_out_of_the_error_of_what_noise_adds() -> None:
    """A deviation of 1 mnat, of which a fifth is taken in at once, with an error of 0.3 mnat and of 0.05."""
    doubtful, sure = (Feedback().step(AT_REST, tensors(1e-3), replace(PLANT, doubt=tensors(d))) for d in (3e-4, 5e-5))
    assert float(doubtful.used) == 0 and float(doubtful.error) == pytest.approx(2e-4)
    assert float(sure.used) == pytest.approx(float(Feedback().step(AT_REST, tensors(7.5e-4), PLANT).used))


def test_feedback_moves_a_multiplier_by_three_tenths_at_most() -> None:
    """However long a deviation stays; and once its sign has changed nothing must be unwound."""
    at, rule = AT_REST, Feedback()
    for _ in range(500):
        at = rule.step(at, tensors(0.02), PLANT)
    assert float(at.used) == float(at.amount) == pytest.approx(0.3 * 4.0)
    back = [at := rule.step(at, tensors(-0.02), PLANT) for _ in range(10)]
    assert float(back[-1].used) < 0.3 * 4.0


def test_geco_multiplies_and_nupi_integrates() -> None:
    geco = Geco(smoothing=0.9, rate=2.0).step(AT_REST, tensors(0.02), PLANT)
    assert 4 + float(geco.used) == pytest.approx(4 * math.exp(2 * 0.002 / 0.2))
    nupi = NuPi(proportional=0.5, integral=0.1, smoothing=0.9).step(AT_REST, tensors(0.02), PLANT)
    assert float(nupi.amount) == pytest.approx(0.1 * 20 * 0.02)
    assert float(nupi.used) == pytest.approx(0.1 * 20 * 0.02 + 0.5 * 20 * 0.002)


def test_controllers_go_on_from_where_they_are() -> None:
    """At rest a sign before the state makes no difference."""
    busy = Controlled(tensors(0.3), tensors(0.001), tensors(0.5))
    slow = replace(PLANT, gain=tensors(1e-4)[:, None])
    done, answer = Feedback(gain=1.0, integral=0.5).step(busy, tensors(0.002), slow), 0.0012 / 0.05
    assert float(done.error) == pytest.approx(0.0012)
    assert float(done.amount) == pytest.approx(0.3 + 0.5 * 0.002 * answer, rel=1e-12)
    assert float(done.used) == pytest.approx(0.3 + (1 + 0.5 * 0.002) * answer, rel=1e-12)
    assert float(Feedback().step(busy, tensors(-7.0), slow).error) == pytest.approx(-0.02)
    geco = Geco(smoothing=0.9, rate=2.0)
    assert 4 + float(geco.step(busy, tensors(0.02), PLANT).used) == pytest.approx(4.3 * math.exp(2 * 0.0029 / 0.2))
    for deviation, limit in ((100.0, 2.0), (-100.0, -2.0)):
        assert 4 + float(geco.step(busy, tensors(deviation), PLANT).amount) == pytest.approx(4.3 * math.exp(limit))
    nupi = NuPi(proportional=0.5, integral=0.1, smoothing=0.9).step(busy, tensors(0.02), PLANT)
    assert float(nupi.error) == pytest.approx(0.0029)
    assert float(nupi.amount) == pytest.approx(0.3 + 0.1 * 20 * 0.02)
    assert float(nupi.used) == pytest.approx(0.3 + 0.1 * 20 * 0.02 + 0.5 * 20 * 0.0029)


def around(average: Average, deviation: Tensor, slopes: Tensor) -> Round:
    return Round(average, deviation, slopes, Judgement(0.0, 0.0, 0.0, 0.0), torch.zeros_like(deviation))


@pytest.mark.parametrize(("answer", "slope"), [(-0.08, -0.4), (-0.01, -0.1), (0.08, -0.1)])
def test_a_slope_that_was_too_flat_is_corrected_between_means(answer: float, slope: float) -> None:
    """γ went up by 0.2: what is held has answered by more than −0.02, by less, or the other way."""
    held = constraint(0.5, slope=-0.1)

    def mean(gamma: float, deviation: float) -> Round:
        average = Average(tensors(), controls(0.6, gamma), torch.zeros((2, 3), dtype=torch.float64), 1, 1.0, 0.5)
        return around(average, tensors(deviation), tensors(-0.1)[:, None])

    last, found = mean(2.0, 0.03), mean(2.2, 0.03 + answer)
    seen = replace(found, slopes=_seen(last, found, held))
    assert float(seen.slopes) == pytest.approx(slope)
    assert float(seen.asked) == pytest.approx(-(0.03 + answer) / slope)


def test_slopes_are_corrected_in_units_of_the_multipliers() -> None:
    """λ and γ both a tenth up, and what is held by 1.0 in place of 0.1: each slope takes half of what was missing."""
    slopes, free = torch.diag(tensors(5.0, -0.01)), torch.eye(2, 3, dtype=torch.float64)

    def mean(lam: float, gamma: float, deviation: float) -> Round:
        average = Average(tensors(), controls(lam, gamma), torch.zeros((2, 3), dtype=torch.float64), 1, 1.0, 0.5)
        return around(average, tensors(deviation, 0.0), slopes)

    found = _seen(mean(0.2, 40.0, 0.0), mean(0.22, 44.0, 1.0), Constraint(free, tensors(0.0, 0.0), free, slopes))
    torch.testing.assert_close(found, torch.stack([tensors(5 + 0.45 / 0.02, 0.45 / 4), slopes[1]]))


@pytest.mark.parametrize(
    ("c_row", "before", "after"),
    [
        ((-0.07698, -0.000369), (0.2965, 11.577, -0.0049), (0.2890, 12.7244, -0.0039)),
        ((-0.04616, -0.0007373), (0.2647, 14.5194, -0.00019), (0.2448, 15.5047, 0.00124)),
    ],
)
def test_slopes_never_become_flatter_as_a_whole(
    c_row: tuple[float, ...], before: tuple[float, ...], after: tuple[float, ...]
) -> None:
    """As on two geodesics: what C did while both multipliers moved would have made C_γ positive, or a quarter of it."""
    slopes, free = torch.stack([tensors(400.0, 0.8), tensors(*c_row)]), torch.eye(2, 3, dtype=torch.float64)
    held, found = Constraint(free, tensors(0.0, 0.0), free, slopes), []
    for lam, gamma, c in (before, after):
        average = Average(tensors(), controls(lam, gamma), torch.zeros((2, 3), dtype=torch.float64), 1, 1.0, 0.5)
        found.append(around(average, tensors(2.0, c), slopes))
    assert torch.equal(_seen(found[0], found[1], held), slopes)


def test_each_deviation_that_stays_asks_for_twice_as_much() -> None:
    """Of two held functionals, 30 and 0.03 nat off, the second turns or stays, whatever the first does."""
    free, slopes = torch.eye(2, 3, dtype=torch.float64), torch.diag(tensors(100.0, -0.1))
    average = Average(tensors(), controls(3.0, 4.0), torch.zeros((2, 3), dtype=torch.float64), 1, 1.0, 0.5)
    last, allowed = around(average, tensors(30.0, 0.03), slopes), tensors(0.1, 0.001)
    for answer, times in ((0.0, 1), (-0.006, 1), (-0.01, 0), (-0.05, 0)):
        stays = _persistence(last, last.deviation + tensors(-40.0, answer), allowed)
        assert stays.tolist() == [0, times]
        assert _persistence(replace(last, persistence=stays), last.deviation, allowed).tolist() == [1, times + 1]
    assert _persistence(last, last.deviation, tensors(40.0, 0.1)).tolist() == [0, 0]
    found = replace(last, persistence=tensors(0, 1))
    moved = _restored(found, Constraint(free, tensors(0.0, 0.0), free, slopes)) - average.controls
    torch.testing.assert_close(moved, tensors(-0.3, 2 * 0.3, 0.0))


@pytest.mark.parametrize(("held", "stationary", "times"), [(0.7, 1.4, 1), (0.7, 0.9, 0), (2.0, 1.0, 0), (0.0, 0.0, 0)])
def test_a_deviation_within_tolerance_may_still_ask_too_much(held: float, stationary: float, times: int) -> None:
    """At 0.7 of a tolerance of 3 % γ had to change by 4 %, mean after mean, until the run ended in a step of 1e-4."""
    average = Average(tensors(), controls(4.0, 20.0), torch.zeros((2, 3), dtype=torch.float64), 1, 1.0, 0.5)
    last = around(average, tensors(-0.021), tensors(-0.034)[None])
    last = replace(last, judgement=Judgement(held, stationary, 0.2, 0.0))
    assert _persistence(last, last.deviation, tensors(0.03)).tolist() == [times]


@pytest.mark.parametrize(
    ("weights", "size"),
    [((0.0, 0.0, 1.0), 0.5), ((0.01, 0.0, 1.0), 0.5), ((40.0, 1.0, 0.0), 0.15), ((-0.01, 0.0, 1.0), 0.15)],
)
def test_a_tolerance_is_of_what_is_held_unless_that_may_vanish(weights: tuple[float, ...], size: float) -> None:
    """C and C + R/100 of 0.5 nat; D + 40 R, which has D's constant, and a difference: |dh/dγ| γ = 0.1 · 1.5."""
    held = constraint(0.5, (weights,), BY_GAMMA, slope=-0.1)
    assert float(_size(held, controls(0.5, 1.5))) == pytest.approx(size)


def test_no_feedback_where_the_data_move_or_the_multipliers_are_fixed() -> None:
    data = Data(blobs(60, seed=0).source, blobs(60, seed=1).source, None, 3)
    objective = finite_latent(data, 3, 1e-2)
    free_energy, c = FreeEnergy(objective, Work()), controls(0.6, 2.0)
    at = descent(free_energy, objective.initial(generator(2)), c, constraint(0.5, slope=-0.1))
    end = c + torch.tensor([0.0, 0.0, 0.2], dtype=torch.float64)
    assert abs(float(at.average(1, 1e-3).controls[1]) - 2.0) > 1e-4
    at = descent(free_energy, objective.initial(generator(2)), c, constraint(0.5, slope=-0.1))
    moving = at.average(1, 1e-3, base=(c, end)).controls
    assert float(moving[1]) == pytest.approx(2.0, rel=1e-12) and 0.1 < float(moving[2]) < 0.2
    assert torch.equal(at.average(1, 1e-3).controls, end)
    at.fix(c)
    assert torch.equal(at.average(1, 1e-3).controls, c)


# --- refusals -----------------------------------------------------------------------------------------------------


def refused(objective: Objective, corrector: PrimalDual, held: Constraint, start: Tensor | None = None) -> Any:
    free_energy, c = FreeEnergy(objective, Work()), controls(0.6, 2.0)
    theta = objective.initial(generator(2)) if start is None else start
    return corrector.correct(free_energy, State(theta, c), held)


def test_each_update_is_counted_once() -> None:
    """In the step from the first point to the second, where Newton has no part."""
    run = problem(
        finite_latent(blobs(120), 3, 1e-2), IsoFunctional((0.6, 0.8), clock="lam"), 0.6, 2.0, Integrator("euler"), 0.2,
        look_ahead=False, adam_steps=200,
    )  # fmt: skip
    run, counts = stochastic(run, primal_dual(24, 3e-3, 50, 8)), []
    for item in simulate(run):
        if isinstance(item, Point):
            assert item.memory is not None
            counts.append((item.memory.updates, run.free_energy.work.corrector_iterations))
    (one, before), (two, after) = counts
    assert two - one == after - before >= 55


def test_a_value_that_no_multiplier_reaches_is_named_with_its_numbers() -> None:
    done = refused(finite_latent(blobs(60), 3, 1e-2), primal_dual(12, 3e-3, 30, 2), constraint(-3.0))
    assert done.failure is Status.NOT_HELD and done.at is None
    assert "wanted is -3" in done.detail and "gamma from 2 to" in done.detail


def test_a_multiplier_at_its_bound_is_named() -> None:
    """C of 5 nat is above that at γ = 0: γ falls by three tenths at a time, and less than nothing is asked for."""
    done = refused(finite_latent(blobs(60), 3, 1e-2), primal_dual(12, 3e-3, 300, 3), constraint(5.0, slope=-1e-3))
    assert done.failure is Status.BOUND_REACHED and "gamma = 0." in done.detail


def test_what_is_not_finite_is_named() -> None:
    objective = finite_latent(blobs(60), 3, 1e-2)
    start = objective.initial(generator(2)) * float("nan")
    assert refused(objective, primal_dual(12, 3e-3, 30, 2), constraint(0.5), start).failure is Status.NON_FINITE


def test_a_slope_that_is_known_to_be_nothing_stops_the_path() -> None:
    objective = finite_latent(blobs(120), 3, 1e-2)
    run = problem(
        objective, IsoFunctional((0.6, 1.2), clock="lam"), 0.6, 2.0, Integrator("euler"), 0.2, look_ahead=False,
        adam_steps=200,
    )  # fmt: skip
    run = stochastic(run, primal_dual(24, 3e-3, 50, 8))
    point = points_and_events(run)[0][1]
    errors = torch.full((3, 3), 9.0, dtype=torch.float64)
    unknown = replace(point.response, error=errors)
    assert advance(run, replace(point, response=unknown), 0.9).time == 0.9
    nothing = replace(point.response, matrix=1e-6 * point.response.matrix, error=1e-6 * errors)
    with pytest.raises(NumericalFailure, match="the slope of what is held is -") as caught:
        advance(run, replace(point, response=nothing), 0.9)
    assert caught.value.status is Status.DEGENERATE_CONSTRAINT


@pytest.mark.slow
def test_full_batches_converge_to_newtons_path() -> None:
    """Without noise the means are points of the surface: γ and M are those of Newton's path from the same C."""
    run = problem(
        finite_latent(blobs(60), 3, 1e-2), IsoFunctional((0.6, 0.7), clock="lam"), 0.6, 2.0, Integrator("euler"), 0.1,
        look_ahead=False, adam_steps=200,
    )  # fmt: skip
    exact, _ = points_and_events(run)
    corrector = primal_dual(60, 3e-4, 6000, 8)
    found, events = points_and_events(replace(run, corrector=corrector))
    assert events[-1].values["status"] == "COMPLETED", events
    assert float(found[-1].at.controls[1]) == pytest.approx(float(exact[-1].at.controls[1]), rel=1e-4)
    torch.testing.assert_close(found[-1].response.matrix, exact[-1].response.matrix, rtol=0, atol=1e-5)
    assert found[-1].at.residual < 1e-4

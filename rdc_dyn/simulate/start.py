"""The start: ∇_θ J = 0 by Adam, L-BFGS in the metric of a factor and trust-region Newton, and where a geodesic aims."""

import math
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace

import torch

from rdc_dyn.curvature.linearisation import Linearisation
from rdc_dyn.dynamics import Correction, GeodesicTransfer, State
from rdc_dyn.dynamics.correctors.gradient import Adam, stream
from rdc_dyn.linalg.base import all_finite, decomposing
from rdc_dyn.record import Event
from rdc_dyn.simulate.collapse import collapse
from rdc_dyn.simulate.problem import Point, Problem, Training, Watch
from rdc_dyn.simulate.step import watched
from rdc_dyn.status import NumericalFailure, Status, UserError

#: Steps of Adam between two states from which they can go on.
_CHUNK = 1000


def start(
    problem: Problem, watch: Watch | None, training: Training | None = None
) -> Generator[Event | Training, None, Point]:
    """Find the first equilibrium, with a warning on the way where Adam ends at a model that has collapsed.

    Goes on from `training` where Adam has begun. Raises NOT_AT_EQUILIBRIUM if the equilibrium is not reached, UserError
    if J is no function of θ.
    """
    if training is None:
        with decomposing():
            problem.free_energy.require_deterministic(problem.start.theta, problem.start.controls)
        training = begin(problem)
    while training.step < problem.adam_steps:
        training = adam(problem, training, watch, min(_CHUNK, problem.adam_steps - training.step))
        if training.step < problem.adam_steps:
            yield training
    state = State(training.theta, problem.start.controls)
    if problem.adam_steps and (text := _collapse(problem, state)) is not None:
        yield Event("collapsed", problem.process.span[0], f"after {problem.adam_steps} steps of Adam {text}", {})
    return first(problem, state, watch)


def begin(problem: Problem) -> Training:
    """No step of Adam yet."""
    theta = problem.start.theta
    none = torch.zeros_like(theta)
    return Training(0, theta, none, none, stream(problem.seed, theta).get_state())


@decomposing()
def first(problem: Problem, state: State, watch: Watch | None) -> Point:
    """The first point, at the minimum below a state."""
    at = _equilibrium(problem, state, watch)
    correction = _averaged(problem, at)
    at = at if correction is None or correction.at is None else correction.at
    held = problem.weights(at.functionals) @ at.functionals
    noise = None if correction is None else correction.noise
    response = problem.response.at_point(problem.free_energy, at, None, noise)
    point = Point(problem.process.span[0], at, response, 0.0, None, held, 0)
    if correction is not None:
        point = replace(point, memory=correction.memory, notes=correction.notes)
    return watched(problem, point, None)


@decomposing()
def _collapse(problem: Problem, state: State) -> str | None:
    rate, _, classification_loss = problem.free_energy.functionals(state.theta, state.controls).tolist()
    return collapse(problem.free_energy.objective, rate, classification_loss, state.controls.tolist())


def _averaged(problem: Problem, at: Linearisation) -> Correction | None:
    """The epoch mean at the first multipliers, with its memory, if the corrector records such means; else None."""
    if not problem.corrector.averages:
        return None
    correction = problem.corrector.correct(problem.free_energy, State(at.theta, at.controls), None)
    if correction.at is None or correction.failure is not None:
        raise NumericalFailure(correction.failure or Status.NON_FINITE, correction.detail)
    problem.free_energy.work.corrector_iterations += correction.iterations
    return correction


def _equilibrium(problem: Problem, state: State, watch: Watch | None) -> Linearisation:
    """The minimum that Newton finds, or without Newton steps the state itself if |∇J| is small enough."""
    if problem.minimiser.max_steps == 0:
        at, tolerance = problem.free_energy.linearise(state.theta, state.controls), problem.minimiser.tolerance
        if not at.residual <= tolerance:
            detail = f"Adam alone reached |grad J| = {at.residual:.3g}, start.equilibrate.tolerance is {tolerance:.3g}"
            raise NumericalFailure(Status.NOT_AT_EQUILIBRIUM, detail)
        return at
    minimum = problem.minimiser.minimise(
        problem.free_energy, state, None if watch is None else (lambda *a: watch("newton", *a))
    )
    if minimum.failure is not None:
        raise NumericalFailure(minimum.failure, minimum.detail)
    return minimum.at


@decomposing()
def adam(problem: Problem, training: Training, watch: Watch | None, steps: int) -> Training:
    """Some more Adam steps of the start; NON_FINITE if J or a gradient is not finite."""
    optimiser, draws = Adam(training.theta.clone()), torch.Generator()
    theta, optimiser.mean, optimiser.square = optimiser.theta, training.mean.clone(), training.square.clone()
    optimiser.count.fill_(training.step)
    draws.set_state(training.draws)
    for step in range(training.step, training.step + steps):
        part, batch, controls = problem.free_energy, problem.adam_batch, problem.start.controls
        part = part if batch is None else part.minibatch(batch, draws, controls[2])
        value, gradient = part.gradient(theta, controls)
        if not (math.isfinite(value) and all_finite(gradient)):
            raise NumericalFailure(Status.NON_FINITE, f"J = {value:.6g} in Adam step {step}")
        if watch is not None:
            watch("adam", step, value, float(gradient.norm()))
        optimiser.step(gradient, problem.learning_rate * _annealed(problem, step))
    return Training(training.step + steps, theta, optimiser.mean, optimiser.square, draws.get_state())


def _annealed(problem: Problem, step: int) -> float:
    """Share of the learning rate: a tenth after each drop, or a cosine, so that Newton begins in a valley."""
    if problem.drop_every is not None:
        return 0.1 ** (step // problem.drop_every)
    return 0.5 * (1 + math.cos(math.pi * step / problem.adam_steps))


#: Largest relative difference at which two classification losses count as the same.
_SAME = 1e-4


def aim(
    problem: Problem,
    watch: Watch | None,
    simulate: Callable[[Problem, Watch | None], Iterator[Point | Event | Training]],
) -> tuple[Problem, Event]:
    """Follow the problem's straight path in (λ, γ, t) to the goal once, and aim the geodesic along the chord.

    Where a branch ends, that path relaxes. The returned problem is that of the geodesic, starting from the equilibrium
    that was found; the event reports its slope. Raises NumericalFailure if the path does not reach the goal, and
    UserError if C at the goal differs from C at the start or R does not.
    """
    points: list[Point] = []
    for item in simulate(replace(problem, aims=False, on_fold="relax"), watch):
        if isinstance(item, Point):
            points = [*points[:1], item]
        elif isinstance(item, Event) and item.kind == "end" and item.values["status"] != Status.COMPLETED.name:
            detail = f"on the way to process.toward at time {item.time:.6g}: {item.values['detail']}"
            raise NumericalFailure(Status[item.values["status"]], detail)
    start, goal = points[0], points[-1]
    (rate, distortion, classification), end = start.at.functionals.tolist(), goal.at.functionals.tolist()
    excess = end[2] - classification
    if abs(excess) > _SAME * abs(classification):
        gamma = goal.state.gamma  # C falls roughly as 1/gamma, hence a Newton step in 1/gamma
        closer = gamma / max(1 + excess / (gamma * float(goal.response.matrix[2, 1])), 0.1)
        raise UserError(
            f"process.toward: at lam = {goal.state.lam:g}, gamma = {gamma:g} the classification loss is "
            f"{end[2]:.8g}, at the start it is {classification:.8g}: off by {excess:.3g}, allowed are "
            f"{_SAME * abs(classification):.3g}; gamma = {closer:.6g} would be closer"
        )
    if abs(end[0] - rate) <= 1e-9 * abs(rate):
        raise UserError(f"process.toward: the rate there is that of the start, {rate:.6g}; no line has this slope")
    slope = (end[1] - distortion) / (end[0] - rate)
    text = f"the line to lam = {goal.state.lam:g}, gamma = {goal.state.gamma:g} has the slope dD/dR = {slope:.8g}"
    geodesic = replace(aimed(problem, slope), start=start.state, adam_steps=0)
    return geodesic, Event("aimed", start.time, text, {"slope": slope, "rate": end[0], "distortion": end[1]})


def aimed(problem: Problem, slope: float) -> Problem:
    """The same problem with the geodesic of slope dD/dR as its process."""
    return replace(problem, process=GeodesicTransfer(problem.process.span, slope), slope=slope, aims=False)

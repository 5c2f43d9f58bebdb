"""The loop: integrate a segment, correct, accept or halve, record."""

from __future__ import annotations

import math
import time as clock
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch

from rdc_dyn.dynamics import (
    Constraint,
    Corrector,
    Integrator,
    Minimiser,
    Process,
    Response,
    State,
    StepSize,
    SurfacePoint,
    VectorField,
    linear_response,
)
from rdc_dyn.linalg import LinearSolver
from rdc_dyn.objective import FreeEnergy, Linearisation
from rdc_dyn.output.record import CONTROLS, FUNCTIONALS, Event, Record
from rdc_dyn.status import NumericalFailure, Status

#: Called while the start is equilibrated: (phase, step, J, |∇J|).
Watch = Callable[[str, int, float, float], None]

#: With on_fold = relax, a step that still fails after this many halvings goes to the minimum that takes over.
_RELAX_AFTER = 3
#: Relative difference between frozen and fresh noise from which a run warns.
_NOISE_GAP = 0.05


@dataclass(frozen=True)
class Problem:
    """Everything a run needs.

    Attributes:
        free_energy: J.
        process: Moves the controls.
        solver: Applies A⁻¹.
        integrator: Predictor.
        corrector: Back to the surface.
        minimiser: Finds the first equilibrium, and the one beyond a fold.
        step_size: Length of the segments.
        start: θ and controls from which the first equilibrium is sought.
        adam_steps: Adam steps before the minimiser.
        learning_rate: Adam's largest learning rate.
        relax: Whether to go on at the minimum that takes over where a branch ends.
    """

    free_energy: FreeEnergy
    process: Process
    solver: LinearSolver
    integrator: Integrator
    corrector: Corrector
    minimiser: Minimiser
    step_size: StepSize
    start: State
    adam_steps: int
    learning_rate: float
    relax: bool
    began: float = field(default_factory=clock.perf_counter)

    @property
    def precision(self) -> float:
        """ρ of the weight prior."""
        return self.free_energy.objective.weight_prior_precision


@dataclass(frozen=True)
class Point:
    """A point of the path on (or, without corrector, near) the surface.

    Attributes:
        time: Process clock.
        at: Linearisation of ∇J there.
        response: θ_c and M there.
        step_size: Length of the step that led here; zero at the start.
        first_step: Step with which an adaptive method should go on.
        held_values: h⁰ of the functionals that the process holds.
        index: Number of accepted steps so far.
    """

    time: float
    at: Linearisation
    response: Response
    step_size: float
    first_step: float | None
    held_values: torch.Tensor
    index: int

    @property
    def state(self) -> State:
        """θ and controls."""
        return State(self.at.theta, self.at.controls)

    @property
    def here(self) -> SurfacePoint:
        """What the process may look at."""
        return SurfacePoint(self.at.controls, self.response.matrix, self.response.forces)


def simulate(problem: Problem, watch: Watch | None = None) -> Iterator[Point | Event]:
    """Run a process from its first equilibrium to the end of its span, or to a numerical stop.

    Args:
        problem: What to run.
        watch: Told about the equilibration of the start.

    Yields:
        Points in the order of the clock, events between them; the last is an event of kind `end` whose value `status`
        is the name of a `Status`.
    """
    s, end = problem.process.span
    try:
        point = _start(problem, s, watch)
    except NumericalFailure as failure:
        yield _end(s, failure.status, failure.detail)
        return
    yield point
    size = problem.step_size
    while point.time != end:
        try:
            target = _next_time(point.time, size, problem.process.span)
            new = _advance(problem, point, target)
        except NumericalFailure as failure:
            yield _rejected(point.time, size, failure)
            size = size.rejected()
            if problem.relax and (size.halvings >= _RELAX_AFTER or size.exhausted):
                try:
                    new = _relax(problem, point, _next_time(point.time, size, problem.process.span))
                    yield _jump(point, new)
                except NumericalFailure as failed:
                    yield _end(point.time, failed.status, failed.detail)
                    return
            elif size.exhausted:
                yield _end(point.time, *_cause(failure))
                return
            else:
                continue
        point, size = new, size.accepted()
        yield point
    yield _end(end, Status.COMPLETED)


def _start(problem: Problem, s: float, watch: Watch | None) -> Point:
    """Adam, then trust-region Newton, to the first equilibrium; raises NOT_AT_EQUILIBRIUM if it is not reached."""
    theta, controls = _adam(problem, watch), problem.start.controls
    minimum = problem.minimiser.minimise(
        problem.free_energy, State(theta, controls), None if watch is None else (lambda *a: watch("newton", *a))
    )
    if minimum.failure is not None:
        raise NumericalFailure(minimum.failure, minimum.detail)
    response = _response(problem, minimum.at)
    held = _weights(problem, minimum.at.functionals) @ minimum.at.functionals
    return Point(s, minimum.at, response, 0.0, None, held, 0)


def _weights(problem: Problem, like: torch.Tensor) -> torch.Tensor:
    """Weights of the held functionals, shape (m, 3)."""
    return like.new_tensor(problem.process.held).reshape(-1, 3)


def _adam(problem: Problem, watch: Watch | None) -> torch.Tensor:
    theta = problem.start.theta.clone()
    optimiser = torch.optim.Adam([theta], lr=problem.learning_rate)
    for step in range(problem.adam_steps):
        value, theta.grad = problem.free_energy.gradient(theta, problem.start.controls)
        if not bool(torch.isfinite(theta.grad).all()):
            raise NumericalFailure(Status.NON_FINITE, f"J = {value:.6g} in Adam step {step}")
        if watch is not None:
            watch("adam", step, value, float(theta.grad.norm()))
        # Annealed, so that Newton begins in a valley and not on its wall.
        optimiser.param_groups[0]["lr"] = (
            0.5 * problem.learning_rate * (1 + math.cos(math.pi * step / problem.adam_steps))
        )
        optimiser.step()
    return theta.detach()


def _response(problem: Problem, at: Linearisation) -> Response:
    response = linear_response(at, problem.solver, problem.precision)
    problem.free_energy.work.krylov_iterations += response.iterations
    return response


def _constraint(problem: Problem, point: Point) -> Constraint | None:
    """What the process holds, and the controls that it leaves free to do so."""
    if not problem.process.held:
        return None
    weights = _weights(problem, point.held_values)
    return Constraint(weights, point.held_values, problem.process.free_directions(point.here))


def _advance(problem: Problem, point: Point, target: float) -> Point:
    """Predict to `target`, correct, and linearise there; raises the failure of any of the three."""
    vector_field = VectorField(problem.free_energy, problem.process, problem.solver, point.state, point.response)
    predicted = problem.integrator.step(vector_field, point.time, target, point.first_step)
    if predicted.state is None:
        raise NumericalFailure(predicted.failure or Status.NON_FINITE, predicted.detail)
    return _correct(problem, point, predicted.state, target, predicted.next_step)


def _correct(problem: Problem, point: Point, state: State, target: float, first_step: float | None) -> Point:
    if state.lam < 0 or state.gamma < 0:
        raise NumericalFailure(Status.BOUND_REACHED, f"lam = {state.lam:.6g}, gamma = {state.gamma:.6g}")
    correction = problem.corrector.correct(problem.free_energy, state, _constraint(problem, point))
    problem.free_energy.work.corrector_iterations += correction.iterations
    if correction.at is None or correction.failure is not None:
        raise NumericalFailure(correction.failure or Status.NON_FINITE, correction.detail)
    response = _response(problem, correction.at)
    return Point(
        target, correction.at, response, abs(target - point.time), first_step, point.held_values, point.index + 1
    )


def _relax(problem: Problem, point: Point, target: float) -> Point:
    """Descend to the minimum that takes over at the predicted controls, then restore the held functional."""
    h = target - point.time
    rates = problem.process.rates(point.time, point.here)
    given = problem.process.prescribed(target, point.at.controls)
    controls = point.at.controls + h * rates if given is None else given
    predicted = State(point.at.theta + h * (rates @ point.response.directions), controls)
    minimum = problem.minimiser.minimise(problem.free_energy, predicted)
    if minimum.failure is not None:
        raise NumericalFailure(minimum.failure, minimum.detail)
    return _correct(problem, point, minimum.state, target, None)


def _next_time(s: float, size: StepSize, span: tuple[float, float]) -> float:
    """s + h on the grid of the scenario's steps, ending exactly at the end of the span."""
    start, end = span
    sign = math.copysign(1.0, end - start)
    h = size.value
    steps = round((s - start) / (sign * h)) + 1
    on_grid = start + sign * steps * h
    target = on_grid if abs(on_grid - (s + sign * h)) <= 1e-9 * h else s + sign * h
    return end if sign * (end - target) <= 1e-9 * h else target


def _cause(failure: NumericalFailure) -> tuple[Status, str]:
    """What to call a run whose step size is exhausted: some failures are places on the surface, others are not."""
    if failure.status in (Status.BOUND_REACHED, Status.DEGENERATE_CONSTRAINT, Status.NON_FINITE):
        return failure.status, failure.detail
    return Status.STEP_UNDERFLOW, f"{failure.status.name}: {failure.detail}"


def _rejected(s: float, size: StepSize, failure: NumericalFailure) -> Event:
    name = failure.status.name.lower().replace("_", " ")
    text = f"step of {size.value:.4g} rejected, {name} ({failure.detail})"
    return Event(
        "rejected", s, text, {"step_size": size.value, "status": failure.status.name, "detail": failure.detail}
    )


def _end(s: float, status: Status, detail: str = "") -> Event:
    return Event("end", s, status.value, {"status": status.name, "detail": detail})


def _jump(before: Point, after: Point) -> Event:
    """What relaxing changed; the ordinary change over the step is part of it."""
    change = (after.at.functionals - before.at.functionals).tolist()
    values = {f"jump_{name}": value for name, value in zip(FUNCTIONALS, change)}
    values["jump_free_energy"] = after.at.value - before.at.value
    values["jump_theta"] = float((after.at.theta - before.at.theta).norm())
    return Event(
        "relaxed", after.time, "short steps could not follow the branch; relaxed to the minimum below it", values
    )


def to_record(problem: Problem, point: Point) -> Record:
    """The numbers of a point, with the diagnostics of its objective.

    Args:
        problem: The problem it belongs to.
        point: The point.

    Returns:
        The record.
    """
    at, work = point.at, problem.free_energy.work
    values = dict(zip(CONTROLS, at.controls.tolist())) | dict(zip(FUNCTIONALS, at.functionals.tolist()))
    diagnostics = problem.free_energy.objective.diagnostics(at.theta, *at.controls.tolist())
    if "validation_rate" in diagnostics:
        diagnostics["validation_free_energy"] = (
            diagnostics["validation_rate"]
            + values["lam"] * diagnostics["validation_distortion"]
            + values["gamma"] * diagnostics["validation_classification_loss"]
            + at.weight_penalty
        )
    deviation = math.nan
    if problem.process.held:
        deviations = _weights(problem, at.functionals) @ at.functionals - point.held_values
        deviation = float(deviations[deviations.abs().argmax()])
    if problem.free_energy.objective.moves:
        diagnostics["free_energy_data_derivative"] = float(point.response.forces[2])
        diagnostics["free_energy_data_curvature"] = point.response.data_curvature
    values |= diagnostics | {
        "free_energy": at.value,
        "weight_penalty": at.weight_penalty,
        "equilibrium_residual": at.residual,
        "constraint_residual": deviation,
        "step_size": point.step_size,
        "vector_field_evaluations": float(work.vector_field_evaluations),
        "gradient_evaluations": float(work.gradient_evaluations),
        "hessian_vector_products": float(work.hessian_vector_products),
        "krylov_iterations": float(work.krylov_iterations),
        "krylov_residual": point.response.residual,
        "corrector_iterations": float(work.corrector_iterations),
        "wall_time": clock.perf_counter() - problem.began,
    }
    return Record(point.time, values, tuple(tuple(row) for row in point.response.matrix.tolist()))


def noise_gap(record: Record) -> Event | None:
    """A warning where D or C on fresh noise parts from that on the frozen noise by more than 5 %.

    Args:
        record: A recorded point.

    Returns:
        The warning, or None. Then J has learnt its noise by heart and its equilibrium means little.
    """
    for name in ("distortion", "classification_loss"):
        fresh, frozen = record.values.get(f"fresh_{name}"), record.values[name]
        if fresh is not None and abs(fresh - frozen) > _NOISE_GAP * abs(frozen):
            text = (
                f"{name} is {frozen:.4g} on the frozen noise but {fresh:.4g} on fresh noise: the noise is being learnt "
                "by heart; raise objective.samples or objective.weight_prior_precision, or use more data"
            )
            return Event("warning", record.time, text, {"frozen": frozen, "fresh": fresh})
    return None

"""One segment: predict, correct, check that the branch is still the same, look ahead."""

from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from rdc_dyn.curvature.linearisation import Linearisation
from rdc_dyn.dynamics import Approach, Constraint, Departure, Known, Minimum, Response, State, VectorField, approach
from rdc_dyn.linalg.base import decomposing
from rdc_dyn.simulate.events import jump
from rdc_dyn.simulate.problem import Point, Problem
from rdc_dyn.status import NumericalFailure, Status

#: |∇J| at which the descent from the end of a branch may stop, where the corrector promises a smaller one.
_LOOSE = 1e-5
#: Share of h/u below which the slope dh/du of a held functional h in a free multiplier u counts as zero.
_FLAT = 0.02
#: Limit on the attempts to restore what is held on another branch by moving the multipliers.
_RESTORATIONS = 6


def respond(problem: Problem, at: Linearisation, before: Known | None) -> Response:
    """θ_c and M at a point; `before` is the previous point as the beginning of the step that led here."""
    return problem.response.at_point(problem.free_energy, at, before)


def watched(problem: Problem, point: Point, before: Point | None) -> Point:
    """The point with its distance to the next singular point, where the problem watches for one.

    `before` is the previous point on the same branch. Raises INDEFINITE if the point is not a minimum.
    """
    if problem.monitor is None:
        return point
    try:
        rates = problem.forward * problem.process.velocity(point.time, point.here)
    except NumericalFailure:
        return point  # the process has no direction here, as its next step will report
    stability = problem.monitor.look(
        point.at,
        rates @ point.response.directions,
        rates,
        None if before is None else before.stability,
        1.0 if before is None else abs(point.time - before.time),
    )
    return replace(point, stability=stability)


@decomposing()
def advance(problem: Problem, point: Point, target: float) -> Point:
    """Predict to the clock `target`, correct, and linearise there.

    Raises NumericalFailure if the prediction, the correction or the response fails, or if the end is not on the same
    branch and on the same side of every singularity of the process.
    """
    held = point.held_values if problem.baumgarte else None
    vector_field = VectorField(
        problem.free_energy, problem.process, problem.response, point.towards(target), problem.baumgarte, held
    )
    predicted = problem.integrator.step(vector_field, point.time, target, point.first_step)
    if predicted.state is None:
        raise NumericalFailure(predicted.failure or Status.NON_FINITE, predicted.detail)
    new = _correct(problem, point, predicted.state, target, predicted.next_step)
    if problem.corrector.promised is not None and problem.response.tangent:
        _same_branch(point, predicted.state, new)
    return watched(problem, replace(new, singularities=_singularities(problem, point, new)), point)


@decomposing()
def relax(problem: Problem, point: Point, target: float) -> Point:
    """Descend to the minimum that takes over at the predicted controls, then restore what is held.

    `target` is a clock value beyond the end of the branch. Raises NumericalFailure if no minimum is found, or what is
    held cannot be restored there.
    """
    h = target - point.time
    rates = problem.process.velocity(point.time, point.here)
    given = problem.process.prescribed(target, point.at.controls)
    controls = point.at.controls + h * rates if given is None else given
    predicted = State(point.at.theta + h * (rates @ point.response.directions), controls)
    predicted.require_bounds()
    # The corrector takes care of the rest, and of what is held.
    promised = problem.corrector.promised
    loose = None if promised is None else max(promised, min(_LOOSE, 1e3 * promised))
    minimum = problem.minimiser.minimise(problem.free_energy, predicted, tolerance=loose, accept="searched")
    for attempt in range(_RESTORATIONS + 1):
        if minimum.failure is not None:
            raise NumericalFailure(minimum.failure, minimum.detail)
        try:
            # What the multipliers did on the old branch says nothing about the new one.
            new = _correct(problem, point, minimum.state, target, None, same_branch=False)
            break
        except NumericalFailure as failure:
            if attempt == _RESTORATIONS or not problem.process.held:
                raise
            # Where this branch ends on the way too, going half the way would never get past its end.
            ends = failure.status is Status.INDEFINITE
        there = _nearer(problem, point, minimum, 1.0 if ends else 0.5)
        accept: Literal["searched", "stationary"] = "searched" if ends else "stationary"
        minimum = problem.minimiser.minimise(problem.free_energy, there, tolerance=loose, accept=accept)
    return watched(problem, replace(new, jump=jump(point, new)), None)


def _nearer(problem: Problem, point: Point, minimum: Minimum, share: float) -> State:
    """Go a share of the way in the multipliers from a minimum towards what is held, along the response there."""
    response = respond(problem, minimum.at, None)
    weights, directions = problem.weights(point.held_values), problem.process.free_directions(point.here)
    missing = point.held_values - weights @ minimum.at.functionals
    amount, info = torch.linalg.solve_ex(weights @ response.matrix @ directions.T, missing)
    if int(info) or not bool(torch.isfinite(amount).all()):
        raise NumericalFailure(Status.DEGENERATE_CONSTRAINT, "the free multipliers do not move what is held")
    shift = share * amount @ directions
    # No multiplier may lose more than half: the line may lead beyond zero, where there is no surface.
    loss = float((-shift / minimum.at.controls)[:2].nan_to_num().max())
    shift *= min(1.0, 0.5 / loss) if loss > 0 else 1.0
    return State(minimum.at.theta + shift @ response.directions, minimum.at.controls + shift)


def _correct(
    problem: Problem, point: Point, state: State, target: float, first_step: float | None, *, same_branch: bool = True
) -> Point:
    if not problem.corrector.averages:  # which itself bounds the predicted free multipliers
        state.require_bounds()
    known = point.towards(target) if same_branch else Known(point.state, point.response)
    departure = Departure(point.at, point.memory, point.notes)
    if problem.response.tangent:
        departure = replace(departure, responses=point.response.directions, expected=known.expected)
    correction = problem.corrector.correct(problem.free_energy, state, _constraint(problem, point), departure)
    problem.free_energy.work.corrector_iterations += correction.iterations
    if correction.at is None or correction.failure is not None:
        raise NumericalFailure(correction.failure or Status.NON_FINITE, correction.detail)
    response = problem.response.at_point(problem.free_energy, correction.at, known, correction.noise)
    return Point(
        target,
        correction.at,
        response,
        abs(target - point.time),
        first_step,
        point.held_values,
        point.index + 1,
        trace=correction.trace,
        memory=correction.memory,
        notes=correction.notes,
        growth=correction.growth,
    )


def _constraint(problem: Problem, point: Point) -> Constraint | None:
    """What the process holds, with the controls that it leaves free for that; None if nothing is held."""
    if not problem.process.held:
        return None
    weights = problem.weights(point.held_values)
    directions = problem.process.free_directions(point.here)
    slopes = weights @ point.response.matrix @ directions.T
    # The first M is a guess, which the first step is to improve; for two functionals no single slope decides.
    if point.response.error is not None and point.index and len(slopes) == 1:
        errors = (weights.square() @ point.response.error.square() @ directions.square().T).sqrt()
        _require_slope(slopes, errors, point.held_values / (directions @ point.at.controls))
    return Constraint(weights, point.held_values, directions, slopes)


def _require_slope(slopes: Tensor, errors: Tensor, natural: Tensor) -> None:
    """Raise DEGENERATE_CONSTRAINT where a slope dh/du is small beside h/u even within its error.

    A slope that is merely uncertain is no reason to stop: F is concave, so its sign is known, and feedback needs no
    more.
    """
    if bool((slopes.abs() + errors < _FLAT * natural.abs()).any()):
        pairs = ", ".join(f"{value:.3g} +- {error:.2g}" for value, error in zip(slopes.flatten(), errors.flatten()))
        raise NumericalFailure(Status.DEGENERATE_CONSTRAINT, f"the slope of what is held is {pairs}")


def _same_branch(before: Point, predicted: State, after: Point) -> None:
    """Raise BRANCH_LOST if the corrector moved θ more than half as far as the whole step did.

    It has then gone to another branch, or the step is too long. This is the usual test of continuation codes: on a
    smooth branch the correction is of second order in the step.
    """
    moved = float((after.at.theta - before.at.theta).norm())
    corrected = float((after.at.theta - predicted.theta).norm())
    rounding = 1e-6 * (1.0 + float(after.at.theta.norm()))
    if corrected > 0.5 * moved + rounding:
        detail = f"the corrector moved theta by {corrected:.3g} in a step of {moved:.3g}"
        raise NumericalFailure(Status.BRANCH_LOST, detail)


def _singularities(problem: Problem, before: Point, after: Point) -> tuple[Approach, ...]:
    """Distances to the zeros of what the process divides by, none of which may change sign within a step."""
    if after.response.error is not None:
        return ()  # differences of two estimates predict nothing: their errors dominate
    old, new = problem.process.divisors(before.here), problem.process.divisors(after.here)
    elapsed = abs(after.time - before.time)
    last = {a.name: a for a in before.singularities}
    found = []
    for name, (value, status) in new.items():
        if value * old[name][0] <= 0:
            raise NumericalFailure(status, f"{name} changed from {old[name][0]:.3g} to {value:.3g}")
        found.append(approach(name, status, old[name][0], value, elapsed).after(last.get(name), elapsed))
    return tuple(found)

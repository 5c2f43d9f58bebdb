"""The path beyond a fold, by pseudo-arclength: time keeps running forward while the multipliers turn round."""

from collections.abc import Iterator
from dataclasses import replace

import torch

from rdc_dyn.dynamics import Curve, CurvePoint
from rdc_dyn.linalg.base import decomposing
from rdc_dyn.record import Event
from rdc_dyn.simulate import events
from rdc_dyn.simulate.problem import Point, Problem, Walk, with_dissipation
from rdc_dyn.status import NumericalFailure, Status

#: Smallest cosine allowed between the tangents at the two ends of a step.
_STRAIGHT = 0.9


def follow(problem: Problem, point: Point) -> Iterator[Point | Event]:
    """Continue along the branch from a point in front of a fold, in the unfolded clock ∫|ds|.

    `point` is the last one that was reached as a graph over the clock, or one that this function has yielded. Points
    and events are yielded, the end last; where the multipliers turn round or the Morse index changes, an event brackets
    the time.
    """
    end = problem.process.span[1]
    walk = point.walk
    if walk is None:
        kind = point.ahead.ends_as.name.lower().replace("_", " ")
        yield Event("follow", point.time, f"a {kind} is near; the branch is followed by pseudo-arclength", {})
        try:
            walk = _begin(problem, point)
        except NumericalFailure as failure:
            yield events.end(point.time, failure.status, failure.detail)
            return
    while point.time != end:
        try:
            there, new = _step(problem, walk, point)
        except NumericalFailure as failure:
            yield events.rejected(point.time, walk.length, failure, 0.5 * walk.length)
            walk = replace(walk, length=0.5 * walk.length)
            if walk.length < 1e-6 * (1.0 + float(walk.here.position.norm())):
                yield events.end(point.time, *events.cause(failure))
                return
            continue
        overshoot = problem.forward * (new.time - end)
        if overshoot > 1e-9 * problem.step_size.nominal:
            walk = replace(walk, length=walk.length * ((abs(end - point.time)) / abs(new.time - point.time)))
            continue
        if overshoot > -1e-9 * problem.step_size.nominal:
            new = replace(new, time=end)
        move = new.at.controls - point.at.controls
        if float(torch.dot(move, walk.travel)) < 0:
            yield _turned(point, new)
        if new.morse_index != walk.index:
            yield _passed(point, new, walk.index)
        growth = 1.5 if there.iterations <= 3 else 1.0
        length = walk.length * min(growth, problem.step_size.nominal / max(new.step_size, 1e-12))
        walk = replace(walk, here=there, travel=move, index=new.morse_index, length=length)
        point = with_dissipation(problem, point, replace(new, walk=walk))
        yield point
    yield events.end(end, Status.COMPLETED)


@decomposing()
def _begin(problem: Problem, point: Point) -> Walk:
    curve = curve_of(problem, point)
    here = curve.begin(point.at, _direction(problem, point))
    return Walk(curve, here, here.tangent[-3:], curve.morse_index(here), _first_length(problem, point))


def curve_of(problem: Problem, point: Point) -> Curve:
    """The path through `point` as a curve in (θ, λ, γ, t)."""
    tolerance = problem.corrector.promised or problem.minimiser.tolerance
    frame = problem.process.frame(point.at.controls)
    return Curve(problem.free_energy, problem.process, point.held_values, frame, tolerance)


def _direction(problem: Problem, point: Point) -> torch.Tensor:
    rates = problem.forward * problem.process.velocity(point.time, point.here)
    return torch.cat([rates @ point.response.directions, rates])


def _first_length(problem: Problem, point: Point) -> float:
    """Arclength in (θ, λ, γ, t) of half the process time left to the fold, at most of a nominal step."""
    reach = min(problem.step_size.nominal, 0.5 * max(point.stability.approach.distance, problem.step_size.smallest))
    return reach * float(_direction(problem, point).norm())


@decomposing()
def _step(problem: Problem, walk: Walk, point: Point) -> tuple[CurvePoint, Point]:
    """Take one step, refused if the curve bends too much or the clock advances by more than 1.5 nominal steps."""
    curve, there = walk.curve, walk.curve.step(walk.here, walk.length)
    cosine = float(torch.dot(walk.here.tangent, there.tangent))
    if cosine < _STRAIGHT:
        raise NumericalFailure(Status.BRANCH_LOST, f"the tangent turned, cosine {cosine:.3g}")
    problem.free_energy.work.corrector_iterations += there.iterations
    new = Point(
        point.time, there.at, curve.respond(there), 0.0, None, point.held_values, point.index + 1,
        morse_index=curve.morse_index(there),
    )  # fmt: skip
    elapsed = problem.process.elapsed(point.here, new.here)
    if elapsed > 1.5 * problem.step_size.nominal:
        raise NumericalFailure(Status.CORRECTOR_DIVERGED, f"the clock advanced by {elapsed:.3g}")
    return there, replace(new, time=point.time + problem.forward * elapsed, step_size=elapsed)


def _turned(before: Point, after: Point) -> Event:
    text = f"the multipliers turned round between time {before.time:.8g} and {after.time:.8g}"
    return Event("turned", after.time, text, {"after": before.time, "before": after.time})


def _passed(before: Point, after: Point, index: int | None) -> Event:
    text = f"an eigenvalue of A passed through zero between time {before.time:.8g} and {after.time:.8g}"
    values = {"after": before.time, "before": after.time, "morse_index_before": index or 0}
    values |= {"morse_index": after.morse_index or 0, "lam": after.state.lam, "gamma": after.state.gamma}
    return Event("fold", after.time, text, values | {"data_position": after.state.data_position})

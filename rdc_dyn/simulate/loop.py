"""The main loop: one segment at a time, accepted or halved, until the span or the branch ends."""

from collections.abc import Generator, Iterator
from dataclasses import replace

from rdc_dyn.dynamics import StepSize
from rdc_dyn.record import Event
from rdc_dyn.simulate import events
from rdc_dyn.simulate.follow import follow
from rdc_dyn.simulate.problem import Point, Problem, Training, Watch, with_dissipation
from rdc_dyn.simulate.start import aim, start
from rdc_dyn.simulate.step import advance, relax
from rdc_dyn.status import NumericalFailure, Status

#: A branch is left, by relaxing or following, where its end is nearer than this share of a nominal step, or where a
#: step of this share fails.
_SHARE = 1 / 4
#: A singular point is assumed to be nearer than this multiple of its first-order distance.
_MARGIN = 1.5


class Singular(NumericalFailure):
    """A singular point lies ahead on the path."""


def simulate(
    problem: Problem, watch: Watch | None = None, resumed: Point | Training | None = None
) -> Iterator[Point | Event | Training]:
    """Run a process from its first equilibrium to the end of its span, or to a numerical stop.

    Points are yielded in the order of the clock, with events between them; the last item is an event of kind `end`
    whose value `status` is the name of a `Status`. A point, with what the problem's preconditioners and counters know
    when it is yielded, determines the rest of the path. Given as `resumed`, it is where the run goes on, without
    yielding what lies behind it. While the start is trained, what it has come to is yielded, and may be `resumed`
    likewise. Raises UserError if a geodesic aims at a point with another classification loss than the start, or the
    same rate.
    """
    s, end = span = problem.process.span
    if resumed is None or isinstance(resumed, Training):
        try:
            if problem.aims:
                problem, aimed = aim(problem, watch, simulate)
                yield aimed
            point = yield from start(problem, watch, resumed)
        except NumericalFailure as failure:
            yield events.end(s, failure.status, failure.detail)
            return
        yield point
    elif resumed.walk is not None:
        yield from follow(problem, resumed)
        return
    else:
        point = resumed
    size = point.size or problem.step_size
    while point.time != end:
        target = size.target(point.time, span, point.ahead.reach)
        try:
            _look_ahead(problem, point)
            new = advance(problem, point, target)
        except NumericalFailure as failure:
            singular = isinstance(failure, Singular)
            leaves = singular and failure.status in events.BRANCH_ENDS
            if not singular:
                size = size.rejected(abs(target - point.time))
                yield events.rejected(point.time, abs(target - point.time), failure, size.value)
                leaves = (size.exhausted or _short(size)) and not events.placed(point, target, failure)
            if not (singular or size.exhausted or (leaves and problem.on_fold == "relax")):
                continue
            if problem.on_fold == "follow" and singular and leaves:
                yield from follow(problem, point)
                return
            if problem.on_fold != "relax" or not leaves:
                yield events.stopped(point, _beyond(problem, point, target, singular), failure)
                return
            beyond = _beyond(problem, point, target, singular)
            try:
                new = yield from _relaxed(problem, point, beyond)
            except NumericalFailure as failed:
                yield events.not_relaxed(point, beyond, failure, failed)
                return
            yield events.relaxed(new)
        size = size.accepted(new.growth)
        point = with_dissipation(problem, point, replace(new, size=size))
        if point.trace:
            yield events.equilibrated(point)
        yield point
    yield events.end(end, Status.COMPLETED)


def _look_ahead(problem: Problem, point: Point) -> None:
    """Raise `Singular` one smallest step before a singular point, or earlier if the branch is to be left."""
    near, ahead = problem.step_size.smallest, point.ahead
    if problem.on_fold != "stop" and ahead.ends_as in events.BRANCH_ENDS:
        near = max(near, _SHARE * problem.step_size.nominal)
    left = abs(problem.process.span[1] - point.time)
    if _MARGIN * ahead.distance <= near and left > ahead.reach:
        raise Singular(ahead.ends_as, f"{ahead.name} reaches zero within {ahead.distance:.3g}")


def _relaxed(problem: Problem, point: Point, beyond: float) -> Generator[Event, None, Point]:
    """Relax to the clock `beyond`, or where that fails half as far, reporting the failure.

    From far beyond the end of a branch a prediction may lead below a bound, and a descent to where what is held cannot
    be restored.
    """
    try:
        return relax(problem, point, beyond)
    except NumericalFailure as failure:
        length = abs(beyond - point.time)
        yield events.rejected(point.time, length, failure, 0.5 * length)
    return relax(problem, point, 0.5 * (point.time + beyond))


def _short(size: StepSize) -> bool:
    return size.failed is not None and size.failed <= _SHARE * size.nominal * 1.001


def _beyond(problem: Problem, point: Point, target: float, singular: bool) -> float:
    """A clock value at which the branch has ended: beyond the singular point, or the end of the failed step."""
    if not singular:
        return target
    if problem.process.by_nodes:
        return StepSize(problem.step_size.nominal).target(point.time, problem.process.span)
    end = problem.process.span[1]
    beyond = point.time + problem.forward * _MARGIN * max(point.ahead.distance, 0.25 * problem.step_size.smallest)
    return end if problem.forward * (end - beyond) < 0 else beyond

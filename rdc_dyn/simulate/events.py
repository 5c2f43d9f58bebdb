"""What a run tells besides its points."""

from __future__ import annotations

from rdc_dyn.output.record import FUNCTIONALS, Event
from rdc_dyn.simulate.problem import Point
from rdc_dyn.status import NumericalFailure, Status

#: Failures that are places on the surface: a run that they stop is named after them.
_PLACES = frozenset(
    {
        Status.BOUND_REACHED,
        Status.BRANCH_POINT,
        Status.DEGENERATE_CONSTRAINT,
        Status.FOLD,
        Status.NON_FINITE,
        Status.SINGULAR_GEODESIC,
    }
)

#: Steps that fail in front of a singular point at less than this multiple of their length are stopped by it.
_NEAR = 10.0


def rejected(s: float, length: float, failure: NumericalFailure, halved_to: float) -> Event:
    """A step that failed and is halved.

    Args:
        s: Clock at its start.
        length: Its length.
        failure: Why.
        halved_to: Length that is tried next, unless the branch is left or the path stops here.

    Returns:
        The event.
    """
    name = failure.status.name.lower().replace("_", " ")
    values = {"step_size": length, "halved_to": halved_to, "status": failure.status.name, "detail": failure.detail}
    return Event("rejected", s, f"step of {length:.4g} rejected, {name} ({failure.detail})", values)


def end(s: float, status: Status, detail: str = "", bracket: tuple[float, float] | None = None) -> Event:
    """The end of a run.

    Args:
        s: Clock of the last point.
        status: How it ended.
        detail: Numbers that belong to it.
        bracket: Two values of the clock between which lies what stopped it, or None.

    Returns:
        The event.
    """
    values: dict[str, str | float] = {"status": status.name, "detail": detail}
    if bracket is not None:
        values |= {"stopped_after": bracket[0], "stopped_before": bracket[1]}
    return Event("end", s, status.value, values)


def placed(point: Point, beyond: float, failure: NumericalFailure) -> bool:
    """Whether a step failed at a place that no other branch of minima leads past: a bound, or a zero of a divisor.

    Args:
        point: Where the step began.
        beyond: Clock at its end.
        failure: Why it failed.

    Returns:
        Whether to locate the place rather than to leave the branch.
    """
    singular = point.ahead.status is not None and point.ahead.distance <= _NEAR * abs(beyond - point.time)
    return singular or failure.status in _PLACES


def cause(failure: NumericalFailure) -> tuple[Status, str]:
    """What to call a run whose steps cannot be made shorter.

    Args:
        failure: Why the last one failed.

    Returns:
        The failure's own status where that is a place, else STEP_UNDERFLOW, and the detail.
    """
    if failure.status in _PLACES:
        return failure.status, failure.detail
    return Status.STEP_UNDERFLOW, f"{failure.status.name}: {failure.detail}"


def stopped(point: Point, beyond: float, failure: NumericalFailure) -> Event:
    """The end of a run at what no step passes.

    Args:
        point: The last good point.
        beyond: Clock at which the path cannot be.
        failure: Why.

    Returns:
        The event, with the two clocks as a bracket.
    """
    status, detail = cause(failure)
    if status is Status.STEP_UNDERFLOW and point.ahead.distance <= _NEAR * abs(beyond - point.time):
        status, detail = point.ahead.ends_as, f"{point.ahead.name} goes to zero; {detail}"
    place = f"between time {point.time:.8g} and {beyond:.8g}"
    return end(point.time, status, f"{place}: {detail}" if detail else place, (point.time, beyond))


def relaxed(point: Point) -> Event:
    """A jump to another branch.

    Args:
        point: The point that it led to.

    Returns:
        The event, whose values are the changes in R, D, C, J and |Δθ|; the ordinary change over the step is part of
        them.
    """
    return Event("relaxed", point.time, "the branch ends here; relaxed to the minimum that takes over", point.jump)


def equilibrated(point: Point) -> Event:
    """The course of a correction.

    Args:
        point: The point that it led to.

    Returns:
        The event, with J at even intervals of the correction from its beginning to its end.
    """
    first, last = point.trace[0], point.trace[-1]
    text = f"equilibration took J from {first:.6g} to {last:.6g}"
    return Event("equilibrated", point.time, text, {"free_energy": list(point.trace)})


def jump(before: Point, after: Point) -> dict[str, float]:
    """What changed between two points.

    Args:
        before: The last point of one branch.
        after: The first point of the other.

    Returns:
        Changes by name.
    """
    change = (after.at.functionals - before.at.functionals).tolist()
    values = {f"jump_{name}": value for name, value in zip(FUNCTIONALS, change)}
    values["jump_free_energy"] = after.at.value - before.at.value
    values["jump_theta"] = float((after.at.theta - before.at.theta).norm())
    return values

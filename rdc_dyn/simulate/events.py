"""The events that a run reports besides its points."""

from rdc_dyn.record import FUNCTIONALS, Event
from rdc_dyn.simulate.problem import Point
from rdc_dyn.status import NumericalFailure, Status

#: Failures that mark places on the surface: a run that they stop ends with their status.
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

#: Singular points of the surface, where a branch of minima ends.
BRANCH_ENDS = (Status.FOLD, Status.BRANCH_POINT)
#: A failed step counts as stopped by a singular point that is nearer than this multiple of its length.
_NEAR = 10.0


def rejected(s: float, length: float, failure: NumericalFailure, halved_to: float) -> Event:
    """A step of the given length from the clock `s` failed and is halved.

    `halved_to` is the length tried next, unless the branch is left or the path stops here.
    """
    name = failure.status.name.lower().replace("_", " ")
    values = {"step_size": length, "halved_to": halved_to, "status": failure.status.name, "detail": failure.detail}
    return Event("rejected", s, f"step of {length:.4g} rejected, {name} ({failure.detail})", values)


def end(s: float, status: Status, detail: str = "", bracket: tuple[float, float] | None = None) -> Event:
    """The end of a run at the clock `s`; what stopped it lies between the two clock values of `bracket`."""
    values: dict[str, str | float] = {"status": status.name, "detail": detail}
    if bracket is not None:
        values |= {"stopped_after": bracket[0], "stopped_before": bracket[1]}
    return Event("end", s, status.value, values)


def placed(point: Point, beyond: float, failure: NumericalFailure) -> bool:
    """Whether a step failed at a place that no other branch of minima leads past: a bound, or a zero of a divisor.

    The step began at `point` and was to end at the clock `beyond`. Such a place is located; the branch is not left.
    """
    singular = point.ahead.status is not None and point.ahead.distance <= _NEAR * abs(beyond - point.time)
    return singular or failure.status in _PLACES


def cause(failure: NumericalFailure) -> tuple[Status, str]:
    """Status and detail of a run whose steps cannot be shortened: a place keeps its own, else STEP_UNDERFLOW."""
    if failure.status in _PLACES:
        return failure.status, failure.detail
    return Status.STEP_UNDERFLOW, f"{failure.status.name}: {failure.detail}"


def stopped(point: Point, beyond: float, failure: NumericalFailure) -> Event:
    """The end of a run at what no step passes, between the last good point and the clock `beyond`."""
    status, detail = cause(failure)
    if status is Status.STEP_UNDERFLOW and point.ahead.distance <= _NEAR * abs(beyond - point.time):
        status, detail = point.ahead.ends_as, f"{point.ahead.name} goes to zero; {detail}"
    place = f"between time {point.time:.8g} and {beyond:.8g}"
    return end(point.time, status, f"{place}: {detail}" if detail else place, (point.time, beyond))


def not_relaxed(point: Point, beyond: float, began: NumericalFailure, failed: NumericalFailure) -> Event:
    """The end of a run at the end of a branch: `began` ended the branch, and relaxing to another one `failed`."""
    status = began.status if began.status in BRANCH_ENDS else point.stability.approach.ends_as
    why = f"{failed.status.name.lower().replace('_', ' ')} ({failed.detail})"
    place = f"between time {point.time:.8g} and {beyond:.8g}"
    detail = f"{place}: {began.detail}; relaxing to another branch failed: {why}"
    return end(point.time, status, detail, (point.time, beyond))


def relaxed(point: Point) -> Event:
    """A jump to another branch, which led to `point`.

    Its values are the changes in R, D, C, J and |Δθ|, including the ordinary change over the step.
    """
    return Event("relaxed", point.time, "the branch ends here; relaxed to the minimum that takes over", point.jump)


def equilibrated(point: Point) -> Event:
    """The course of the correction that led to `point`: J and ‖∇J‖ at even intervals from beginning to end."""
    values, residuals = (list(column) for column in zip(*point.trace))
    text = f"equilibration took J from {values[0]:.6g} to {values[-1]:.6g}, |grad J| to {residuals[-1]:.2g}"
    return Event("equilibrated", point.time, text, {"free_energy": values, "equilibrium_residual": residuals})


def jump(before: Point, after: Point) -> dict[str, float]:
    """Changes by name from the last point of one branch to the first point of the next."""
    change = (after.at.functionals - before.at.functionals).tolist()
    values = {f"jump_{name}": value for name, value in zip(FUNCTIONALS, change)}
    values["jump_free_energy"] = after.at.value - before.at.value
    values["jump_theta"] = float((after.at.theta - before.at.theta).norm())
    return values

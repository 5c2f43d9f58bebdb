"""k = (D₁ − D₀)/(R₁ − R₀): the straight line in (R, D) from one equilibrium to another at the same C."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from rdc_dyn.dynamics import GeodesicTransfer
from rdc_dyn.record import Event
from rdc_dyn.simulate.problem import Point, Problem, Watch
from rdc_dyn.status import NumericalFailure, Status, UserError

#: Largest relative difference at which two classification losses count as the same.
_SAME = 1e-4


def aim(
    problem: Problem, watch: Watch | None, simulate: Callable[[Problem, Watch | None], Iterator[Point | Event]]
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
        elif item.kind == "end" and item.values["status"] != Status.COMPLETED.name:
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
    return replace(problem, process=GeodesicTransfer(problem.process.span, slope), aims=False)

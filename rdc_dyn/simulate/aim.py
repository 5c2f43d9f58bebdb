"""k = (D₁ − D₀)/(R₁ − R₀): the straight line in (R, D) from one equilibrium to another at the same C."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from rdc_dyn.dynamics import GeodesicTransfer
from rdc_dyn.output.record import Event
from rdc_dyn.simulate.problem import Point, Problem, Watch
from rdc_dyn.status import NumericalFailure, Status, UserError

#: Relative difference of the two classification losses that counts as none.
_SAME = 1e-4


def aim(
    problem: Problem, watch: Watch | None, simulate: Callable[[Problem, Watch | None], Iterator[Point | Event]]
) -> tuple[Problem, Event]:
    """Go to the goal once, as the problem's process says, and turn round: the geodesic has the chord's slope.

    Args:
        problem: With the straight path in (λ, γ, t) to the goal as its process; where a branch ends, that path relaxes.
        watch: Told about the equilibration of the start.
        simulate: Runs a problem.

    Returns:
        The problem of the geodesic, starting from the equilibrium that was found, and an event that tells its slope.

    Raises:
        NumericalFailure: If the path does not reach the goal.
        UserError: If C at the goal is not C at the start, or R is the same at both.
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
        gamma = goal.state.gamma  # C falls about as 1/gamma: Newton's step in 1/gamma
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
    """The problem of a geodesic whose slope is known.

    Args:
        problem: One that aims.
        slope: dD/dR.

    Returns:
        The problem.
    """
    return replace(problem, process=GeodesicTransfer(problem.process.span, slope), aims=False)

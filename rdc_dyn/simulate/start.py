"""∇_θ J = 0 at the first multipliers: Adam, then trust-region Newton."""

from __future__ import annotations

import math

import torch

from rdc_dyn.dynamics import State
from rdc_dyn.simulate.problem import Point, Problem, Watch
from rdc_dyn.simulate.step import respond, watched
from rdc_dyn.status import NumericalFailure, Status


def start(problem: Problem, watch: Watch | None) -> Point:
    """The first equilibrium.

    Args:
        problem: What is run.
        watch: Told about its steps.

    Returns:
        The first point.

    Raises:
        NumericalFailure: NOT_AT_EQUILIBRIUM if it is not reached.
    """
    theta, controls = _adam(problem, watch), problem.start.controls
    minimum = problem.minimiser.minimise(
        problem.free_energy, State(theta, controls), None if watch is None else (lambda *a: watch("newton", *a))
    )
    if minimum.failure is not None:
        raise NumericalFailure(minimum.failure, minimum.detail)
    at = minimum.at
    held = problem.weights(at.functionals) @ at.functionals
    point = Point(problem.process.span[0], at, respond(problem, at), 0.0, None, held, 0)
    return watched(problem, point, None)


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

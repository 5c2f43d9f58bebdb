"""∫ D dλ + C dγ + ∂_tF dt − (F − F₀): the free energy that θ loses by relaxing instead of moving quasi-statically."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from rdc_dyn.dynamics.responses.base import Response, free_energy_hessian
from rdc_dyn.linalg.base import Controls
from rdc_dyn.simulate.problem import Point, Problem


def with_dissipation(problem: Problem, before: Point, after: Point) -> Point:
    """The point with the free energy dissipated on the way to it, and the error of that.

    The work of a step follows the trapezoidal rule. Where Hess F is solved for, or estimated with an error, it corrects
    the work (Hermite's rule, of fifth order). The error is that of the estimate, or else the size of the correction;
    rounding and the noise of (D, C) are added in quadrature.
    """
    move = after.at.controls - before.at.controls
    work = float(0.5 * (before.at.forces + after.at.forces) @ move)
    correction, doubt = _bend(before.response, after.response, move)
    if math.isfinite(correction) and (problem.response.tangent or after.response.estimate is not None):
        work += correction / 12
    lost = work - (after.at.value - before.at.value)
    rounding = torch.finfo(after.at.theta.dtype).eps * (abs(after.at.value) + abs(work))
    error = math.hypot(doubt / 12 if math.isfinite(doubt) else 0.1 * abs(work), _noise(before, after), 10 * rounding)
    return replace(
        after, dissipation=before.dissipation + lost, dissipation_error=math.hypot(before.dissipation_error, error)
    )


def _bend(before: Response, after: Response, move: Controls) -> tuple[float, float]:
    """Δc·(Hess F(before) − Hess F(after)) Δc and its error, which is the value itself unless Hess F is estimated."""
    if before.estimate is not None and after.estimate is not None:
        return after.estimate.bend(before.estimate, move)
    value = float((torch.outer(move, move) * (free_energy_hessian(before) - free_energy_hessian(after))).sum())
    return value, value


def _noise(before: Point, after: Point) -> float:
    """Error of the work from the standard errors of (D, C, ∂_tF) at both ends."""
    move, found = after.at.controls - before.at.controls, 0.0
    for estimate in (before.response.estimate, after.response.estimate):
        if estimate is not None:
            found = math.hypot(found, 0.5 * float((estimate.errors * move).norm()))
    return found

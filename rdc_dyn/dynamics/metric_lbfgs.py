"""θ ← θ − t H∇J, where BFGS updates turn a metric M ≈ (A + σI)⁻¹ into H (Nocedal 1980): L-BFGS in the metric of M."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from rdc_dyn.curvature.free_energy import FreeEnergy
from rdc_dyn.curvature.linearisation import Linearisation
from rdc_dyn.linalg.base import Vector, project_out
from rdc_dyn.linalg.limited_memory import LimitedMemory
from rdc_dyn.linalg.preconditioner import Preconditioner
from rdc_dyn.status import NumericalFailure

#: Told (step, J, |∇J|) before each step.
Watch = Callable[[int, float, float], None]

#: Pairs kept.
_PAIRS = 300
#: Wolfe's conditions: the share of its slope by which J must have fallen, and the share of the slope that may be left.
_FALLEN, _LEFT = 1e-4, 0.9
#: Limit on the evaluations of a line search.
_EVALUATIONS = 20


def descend(
    free_energy: FreeEnergy,
    at: Linearisation,
    metric: Preconditioner,
    tolerance: float,
    steps: range,
    watch: Watch | None = None,
) -> tuple[Linearisation, int, float]:
    """Descend until |∇J| is small, no step lowers J, or the steps run out.

    Returns the last point, the number of the next step, and the gradients taken since M was built.
    """
    work, pairs, number = free_energy.work, None, steps.start
    since = work.gradient_evaluations
    for number in steps:
        if at.residual <= tolerance:
            break
        if watch is not None:
            watch(number, at.value, at.residual)
        # Rent or buy: build M anew once as many gradients have been taken as a build costs.
        if work.gradient_evaluations - since > metric.recipe.products(at.size) and metric.refresh(at):
            pairs, since = None, work.gradient_evaluations
        metric.prepare(at)
        g = project_out(at.kernel, at.gradient)[None]
        p = -(metric.apply(g) if pairs is None else pairs.apply(metric.apply, g))
        new = _search(free_energy, at, project_out(at.kernel, p)[0])
        if new is None:
            break
        s, y = new.theta - at.theta, new.gradient - at.gradient
        if float(torch.dot(s, y)) > torch.finfo(s.dtype).eps * float(s.norm() * y.norm()):
            pairs = LimitedMemory.of(s[None], y[None], 1.0) if pairs is None else pairs.after(s, y, _PAIRS)
        work.corrector_iterations += 1
        at = new
    else:
        number = steps.stop
    return at, number, work.gradient_evaluations - since


def _search(free_energy: FreeEnergy, at: Linearisation, p: Vector) -> Linearisation | None:
    """The first θ + t p, from t = 1 by bisection, at which Wolfe's conditions hold; None if no t lowers J.

    Where rounding hides a fall of J, its slope tells (Hager & Zhang 2005). Where J is not finite, t is too long.
    """
    slope = float(torch.dot(at.gradient, p))
    rounding = 1e2 * torch.finfo(p.dtype).eps * max(1.0, abs(at.value))
    best, low, high, t = None, 0.0, math.inf, 1.0
    for _ in range(_EVALUATIONS if slope < 0 else 0):
        left, fallen = -math.inf, False
        try:
            new = free_energy.linearise(at.theta + t * p, at.controls)
        except NumericalFailure:
            pass
        else:
            left = float(torch.dot(new.gradient, p))
            hidden = new.value <= at.value + rounding and left <= (2 * _FALLEN - 1) * slope
            fallen = new.value <= at.value + _FALLEN * t * slope or hidden
        if not fallen:
            high = t
        else:
            best, low = new, t
            if left >= _LEFT * slope:
                break
        t = 2 * t if high == math.inf else 0.5 * (low + high)
    return best

"""Minimisation of J at fixed controls: L-BFGS in the metric of a factor, then trust-region Newton (Steihaug 1983)."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch

from rdc_dyn.curvature.free_energy import FreeEnergy
from rdc_dyn.curvature.linearisation import Linearisation
from rdc_dyn.dynamics.state import State
from rdc_dyn.linalg.base import Vector, project_out
from rdc_dyn.linalg.limited_memory import LimitedMemory
from rdc_dyn.linalg.preconditioner import Preconditioner
from rdc_dyn.linalg.ritz import SEARCH, softest
from rdc_dyn.status import NumericalFailure, Status

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


@dataclass(frozen=True)
class Minimum:
    """Result of `Minimiser.minimise`.

    Attributes:
        at: Linearisation at the last accepted point, which is never worse than the start.
        failure: None if the descent arrived at a point that `accept` allows, else NOT_AT_EQUILIBRIUM.
        detail: Numbers that explain the failure.
    """

    at: Linearisation
    steps: int
    failure: Status | None
    detail: str = ""

    @property
    def state(self) -> State:
        """The point as a state."""
        return State(self.at.theta, self.at.controls)


@dataclass(frozen=True)
class Minimiser:
    """Descends to a minimum of J, through regions where A is indefinite; J never rises.

    Where M is a factor of A + σI, L-BFGS in its metric goes first: a step takes one gradient, where a trust-region step
    takes tens of products. The trust region goes on where L-BFGS stalls.

    Attributes:
        preconditioner: M ≈ (A + σI)⁻¹ ≻ 0; its norm shapes the trust region, and it learns from the products there.
        tolerance: On |∇J|.
        max_steps: Maximum number of steps by L-BFGS, and of trust-region steps.
        max_inner: Maximum number of products with A per step.
    """

    preconditioner: Preconditioner
    tolerance: float
    max_steps: int = 500
    max_inner: int = 200

    def minimise(
        self,
        free_energy: FreeEnergy,
        state: State,
        watch: Watch | None = None,
        *,
        tolerance: float | None = None,
        accept: Literal["proved", "searched", "stationary"] = "proved",
    ) -> Minimum:
        """Descend from `state` at fixed controls; `watch` is told (step, J, |∇J|) before each step.

        `accept` names the points at which the descent may stop: "proved", a minimum proved by a factor of A, if the
        preconditioner can have one; "searched", a point where a search finds no negative curvature, unless `patience`
        makes a factor no dearer than the search; "stationary", any stationary point.

        If J is not finite at the start, or a product with A on the way, this raises `NumericalFailure` with NON_FINITE.
        """
        tolerance = self.tolerance if tolerance is None else tolerance
        at = free_energy.linearise(state.theta, state.controls)
        by_gradients = self.max_steps if self.preconditioner.recipe.spectral else 0
        at, steps, spent = descend(free_energy, at, self.preconditioner, tolerance, range(by_gradients), watch)
        radius, escapes, rejected, end = math.inf, 0, 0, steps + self.max_steps
        while steps < end:
            if watch is not None:
                watch(steps, at.value, at.residual)
            if at.residual <= tolerance:
                down = None if accept == "stationary" else self._negative_curvature(at, accept == "proved")
                if down is None:
                    return Minimum(self._polished(free_energy, at) if steps else at, steps, None)
                escapes += 1
                if escapes > 10:
                    return Minimum(at, steps, Status.NOT_AT_EQUILIBRIUM, "a saddle that could not be left")
                at, radius = self._escape(free_energy, at, down), math.inf
                left = range(steps, min(steps + by_gradients, end))
                at, steps, spent = descend(free_energy, at, self.preconditioner, tolerance, left, watch)
                continue
            # Rent or buy: rebuild the preconditioner once as many products have been spent as a rebuild costs.
            if spent > self.preconditioner.recipe.products(at.size):
                self.preconditioner.refresh(at)
                spent = 0
            self.preconditioner.prepare(at)
            step, length, predicted, used = self._steihaug(at, radius, tolerance)
            spent += used
            steps += 1
            free_energy.work.corrector_iterations += 1
            trial, ratio = self._try(free_energy, at, step, predicted)
            if ratio < 0.25:
                radius = 0.25 * length
            elif ratio > 0.75:
                radius = max(radius, 2 * length)
            if trial is not None:
                at, rejected = trial, 0
            else:
                rejected += 1
                if rejected > 40:
                    break
        return Minimum(at, steps, Status.NOT_AT_EQUILIBRIUM, f"|grad J| = {at.residual:.3g} after {steps} steps")

    def _try(
        self, free_energy: FreeEnergy, at: Linearisation, step: Vector, predicted: float
    ) -> tuple[Linearisation | None, float]:
        """The linearisation at θ + step if it is accepted, and the ratio of actual to predicted decrease."""
        try:
            trial = free_energy.linearise(at.theta + step, at.controls)
        except NumericalFailure:
            return None, -math.inf
        rounding = 1e2 * torch.finfo(at.theta.dtype).eps * max(1.0, abs(at.value))
        if predicted <= rounding:
            # Rounding hides the decrease of J, but not yet that of its gradient.
            better = trial.residual < at.residual and trial.value <= at.value + rounding
            return (trial, 1.0) if better else (None, 0.0)
        ratio = (at.value - trial.value) / predicted
        return (trial if ratio > 1e-4 else None), ratio

    def _steihaug(self, at: Linearisation, radius: float, tolerance: float) -> tuple[Vector, float, float, int]:
        """Minimise gᵀp + ½pᵀAp in |p|_M ≤ radius by preconditioned CG, going to the edge along negative curvature.

        Returns p, |p|_M, the predicted decrease and the number of products; a non-finite product raises
        `NumericalFailure`.
        """
        kernel = at.kernel
        gradient = project_out(kernel, at.gradient)
        p, r, pairs = torch.zeros_like(gradient), gradient, []
        y = self.preconditioner.apply(r)
        d, ry = -y, float(torch.dot(r, y))
        pp, pd, dd = 0.0, 0.0, ry
        predicted = 0.0
        # Superlinear near the end, but never tighter than the tolerance needs.
        target = max(min(0.1, math.sqrt(at.residual)) * float(gradient.norm()), 0.3 * tolerance)
        for _ in range(self.max_inner):
            ad = project_out(kernel, at.mv(d))
            pairs.append((d, ad))
            curvature = float(torch.dot(d, ad))
            if not math.isfinite(curvature):
                raise NumericalFailure(Status.NON_FINITE, "second derivatives")
            slope = float(torch.dot(d, r))
            alpha = ry / curvature if curvature > 0 else math.inf
            beyond = curvature <= 0 or pp + 2 * alpha * pd + alpha**2 * dd >= radius**2
            if beyond:
                # A first step along negative curvature has no radius yet: go one M-length, the scale of the model.
                edge = radius if math.isfinite(radius) else max(1.0, math.sqrt(pp) * 2)
                tau = (-pd + math.sqrt(max(pd**2 + dd * (edge**2 - pp), 0.0))) / dd
                predicted -= tau * slope + 0.5 * tau**2 * curvature
                p, pp = p + tau * d, edge**2
                break
            p = p + alpha * d
            predicted -= alpha * slope + 0.5 * alpha**2 * curvature
            pp += 2 * alpha * pd + alpha**2 * dd
            r = r + alpha * ad
            if float(r.norm()) <= target:
                break
            y = self.preconditioner.apply(r)
            ry, previous = float(torch.dot(r, y)), ry
            beta = ry / previous
            d = -y + beta * d
            pd, dd = beta * (pd + alpha * dd), ry + beta**2 * dd
        directions, images = zip(*pairs)
        self.preconditioner.learn(torch.stack(directions), torch.stack(images))
        return p, math.sqrt(pp), predicted, len(pairs)

    def _negative_curvature(self, at: Linearisation, proved: bool) -> Vector | None:
        """A direction of negative curvature at a stationary point, from a factor of A or a search, or None.

        Off equilibrium, a zero mode of A has an eigenvalue of the size of |∇J| and of either sign, which does not
        count.
        """
        flat = 10 * min(at.residual, self.tolerance)  # a descent that stops early must not overlook a weak saddle
        factor = self.preconditioner.recipe.spectral
        price = self.preconditioner.patience * self.preconditioner.recipe.products(at.size)
        if not (factor and (proved or price <= SEARCH)):
            pair = softest(at, self.preconditioner)
            if pair.converged or not factor:
                return pair.vector if pair.value < -flat else None
        found = self.preconditioner.most_negative(at)
        return None if found is None or found[0] > -flat else found[1]

    def _polished(self, free_energy: FreeEnergy, at: Linearisation) -> Linearisation:
        """Newton's step from a minimum that a factor of A has just proved: it costs one gradient."""
        if not self.preconditioner.built_at(at):
            return at
        found = self._try(free_energy, at, -self.preconditioner.apply(at.gradient), 0.0)[0]
        return at if found is None else found

    def _escape(self, free_energy: FreeEnergy, at: Linearisation, down: Vector) -> Linearisation:
        """Descend from a saddle along ±`down`, for as long as J keeps falling."""
        best, best_value, size = at.theta, at.value, 1e-3
        for sign in (1.0, -1.0):
            length = size
            while -math.inf < (value := free_energy.value(at.theta + sign * length * down, at.controls)) < best_value:
                best, best_value, length = at.theta + sign * length * down, value, 2 * length
        return free_energy.linearise(best, at.controls)

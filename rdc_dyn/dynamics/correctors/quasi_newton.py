"""θ ← θ − H∇J + δ θ_d, c ← c + δ d: one gradient an iteration, H ≈ A⁻¹ from a kept factor and BFGS pairs."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from rdc_dyn.curvature.free_energy import FreeEnergy
from rdc_dyn.curvature.linearisation import Linearisation
from rdc_dyn.dynamics.correctors.base import Constraint, Correction, Corrector, Departure
from rdc_dyn.dynamics.correctors.newton_krylov import NewtonKrylov
from rdc_dyn.dynamics.responses.base import explicit_derivatives, functional_gradients
from rdc_dyn.dynamics.state import State
from rdc_dyn.linalg.base import Rows, Vector
from rdc_dyn.linalg.limited_memory import LimitedMemory
from rdc_dyn.linalg.preconditioner import Preconditioner
from rdc_dyn.status import NumericalFailure, Status

#: Iterations over which the rate of convergence is taken.
_WINDOW = 4
#: A correction that needs more iterations than this is better left to Newton's method.
_MOST = 25.0


@dataclass
class _Iteration:
    """What a correction has learned of A: pairs (s, y = A s) on top of the kept H, and gᵀHg after each iteration."""

    preconditioner: Preconditioner
    s: list[Vector] = field(default_factory=list)
    y: list[Vector] = field(default_factory=list)
    residuals: list[float] = field(default_factory=list)
    decrements: list[float] = field(default_factory=list)

    def inverse(self, v: Vector) -> Vector:
        """H v."""
        if not self.s:
            return self.preconditioner.apply(v)
        update = LimitedMemory.of(torch.stack(self.s), torch.stack(self.y), 1.0)
        return update.apply(self.preconditioner.apply, v[None])[0]

    def learn(self, s: Vector, y: Vector) -> None:
        """Take a pair unless it shows no positive curvature."""
        if float(torch.dot(s, y)) > torch.finfo(s.dtype).eps ** 0.5 * float(s.norm() * y.norm()):
            self.s.append(s)
            self.y.append(y)

    def stalls(self, tolerance: float) -> bool:
        """Whether gᵀHg has not fallen for three iterations, or |∇J| falls too slowly to end soon."""
        if len(self.residuals) <= _WINDOW:
            return False
        if min(self.decrements[-3:]) >= min(self.decrements[:-3]):
            return True
        rate = (self.residuals[-1] / self.residuals[-1 - _WINDOW]) ** (1 / _WINDOW)
        missing = math.log(max(self.residuals[-1] / tolerance, 1.0))
        return rate >= 1.0 or missing > -_MOST * math.log(rate)

    def teach(self) -> None:
        """Hand the pairs to the preconditioner."""
        if self.s:
            self.preconditioner.learn(torch.stack(self.s), torch.stack(self.y))
            self.s.clear()
            self.y.clear()


@dataclass(frozen=True)
class QuasiNewton(Corrector):
    newton: NewtonKrylov
    preconditioner: Preconditioner

    @property
    def promised(self) -> float:
        """The tolerance on |∇J|."""
        return self.newton.tolerance

    def correct(
        self,
        free_energy: FreeEnergy,
        state: State,
        constraint: Constraint | None,
        departure: Departure | None = None,
    ) -> Correction:
        held = constraint if self.newton.holds_constraint else None
        if departure is None or departure.expected is None:
            return self.newton.correct(free_energy, state, held, departure)
        try:
            best, iterations, done = self._iterate(free_energy, state, held, departure)
        except NumericalFailure:
            best, iterations, done = None, 0, False
        if best is not None and done:
            return Correction(State(best.theta, best.controls), best, iterations, None)
        STATS["newton"] += 1
        begin = state if best is None else State(best.theta, best.controls)
        found = self.newton.correct(free_energy, begin, held, departure)
        return found

    def _iterate(self, free_energy, state, held, departure):
        at = free_energy.linearise(state.theta, state.controls)
        self.preconditioner.prepare(at)
        known = _Iteration(self.preconditioner)
        best, least, rebuilt, iterations = at, math.inf, 0, 0
        slopes = None if held is None else held.slopes
        while True:
            STATS["g"] += 1
            off = at.gradient.new_zeros(0) if held is None else held.residual(at)
            deviation = float(off.abs().max()) if held is not None else 0.0
            if VERBOSE: print(f"   {iterations} |g| {at.residual:.2e} dev {deviation:.2e}")
            if at.residual <= self.newton.tolerance and deviation <= self.newton.constraint_tolerance:
                known.teach()
                return at, iterations, True
            step = -known.inverse(at.gradient)
            decrement = -float(torch.dot(step, at.gradient))
            known.residuals.append(at.residual); known.decrements.append(decrement)
            if decrement < least:
                best, least = at, decrement
            if not math.isfinite(decrement) or known.stalls(self.newton.tolerance) or iterations > 60:
                price = self.preconditioner.recipe.products(at.size)
                known.teach() if False else None
                if price <= 40 and rebuilt < 2 and math.isfinite(decrement):
                    at = best
                    self.preconditioner.refresh(at)
                    STATS["rebuilt"] += 1
                    known = _Iteration(self.preconditioner)
                    rebuilt += 1
                    continue
                return best, iterations, False
            if known.decrements and decrement > 4 * known.decrements[0]:
                step = step * math.sqrt(4 * known.decrements[0] / decrement)
            shift = controls = 0.0
            theta = at.theta + step
            controls = at.controls
            s = step
            if held is not None:
                responses = held.directions @ departure.expected
                if at.residual <= self.newton.tolerance:
                    gradients = held.weights @ functional_gradients(at, free_energy.objective.weight_prior_precision)
                    drift = gradients @ step
                    slopes = held.weights @ explicit_derivatives(at) @ held.directions.T + gradients @ responses.T
                else:
                    drift = self._drift(free_energy, at, held, departure.expected, step)
                shift, info = torch.linalg.solve_ex(slopes, -(off + drift))
                s = step + shift @ responses
                theta, controls = at.theta + s, at.controls + shift @ held.directions
            new = State(theta, controls)
            new.require_bounds()
            there = free_energy.linearise(theta, controls)
            y = there.gradient - at.gradient
            if held is not None:
                y = y + shift @ (held.directions @ departure.at.mixed)
            known.learn(s, y)
            at = there
            iterations += 1

    def _drift(self, free_energy, at, held, tangents, step):
        g = at.gradient
        rho = free_energy.objective.weight_prior_precision
        rate = torch.dot(g - rho * at.theta, step)
        d, c = torch.dot(tangents[0], g), torch.dot(tangents[1], g)
        lam, gamma = at.controls[0], at.controls[1]
        return held.weights @ torch.stack([rate - lam * d - gamma * c, d, c])

STATS = {"newton": 0, "g": 0, "rebuilt": 0}
VERBOSE = False

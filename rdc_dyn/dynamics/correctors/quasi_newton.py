"""θ ← θ − H∇J + δ θ_d, c ← c + δ d: one gradient an iteration, with H ≈ A⁻¹ from a kept factor and BFGS pairs."""

import math
from dataclasses import dataclass, field, replace

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

#: Iterations over which the rate of convergence is taken, and most that a correction may still need by that rate.
_WINDOW, _MOST = 4, 40.0
#: A build of H that takes at most so many products costs less than Newton's method where H is bad.
_CHEAP, _BUILDS = 40, 2
#: Growth of gᵀHg over its first value that shows H to be wrong.
_WILD = 4.0
#: Gradients as products.
_PRODUCTS = 0.8


@dataclass(frozen=True)
class _Border:
    """What the multipliers do, as far as it is known.

    Attributes:
        tangents: θ_c, shape (3, P).
        mixed: b_c, shape (3, P).
        slopes: dh/dd along the surface, shape (m, m).
    """

    tangents: Rows
    mixed: Rows
    slopes: Float[Tensor, "m m"]


@dataclass
class _Iteration:
    """The iteration with one H, which takes in a pair (s, y ≈ A s) with each step.

    Attributes:
        at: Where it stands.
        best: Where gᵀHg was least.
    """

    newton: NewtonKrylov
    preconditioner: Preconditioner
    free_energy: FreeEnergy
    held: Constraint
    border: _Border
    at: Linearisation
    best: Linearisation = field(init=False)
    pairs: list[tuple[Vector, Vector]] = field(default_factory=list)
    residuals: list[float] = field(default_factory=list)
    decrements: list[float] = field(default_factory=list)

    def converges(self) -> bool:
        """Iterate; False where H leads nowhere, or so slowly that another way is cheaper."""
        self.best = self.at
        while True:
            off = self.held.residual(self.at)
            if self.at.residual <= self.newton.tolerance and bool(
                (off.abs() <= self.newton.constraint_tolerance).all()
            ):
                self._teach()
                return True
            step = -self._inverse(self.at.gradient)
            self.residuals.append(self.at.residual)
            self.decrements.append(-float(torch.dot(step, self.at.gradient)))
            if self.decrements[-1] <= min(self.decrements):
                self.best = self.at
            if self._stalls():
                return False
            try:
                self._take(step, off)
            except NumericalFailure:
                return False

    def _inverse(self, v: Vector) -> Vector:
        if not self.pairs:
            return self.preconditioner.apply(v)
        s, y = map(torch.stack, zip(*self.pairs))
        return LimitedMemory.of(s, y, 1.0).apply(self.preconditioner.apply, v[None])[0]

    def _take(self, step: Vector, off: Float[Tensor, "m"]) -> None:
        """Go by a step of θ and the shift δ of the multipliers that restores h, and learn from Δ∇J = A s − δ b_d."""
        drift, slopes = self._drift(step)
        directions = self.held.directions
        shift, info = torch.linalg.solve_ex(slopes, -(off + drift))
        if int(info) or not bool(torch.isfinite(shift).all()):
            raise NumericalFailure(Status.DEGENERATE_CONSTRAINT, "the free multipliers do not move what is held")
        s = step + shift @ (directions @ self.border.tangents)
        new = State(self.at.theta + s, self.at.controls + shift @ directions)
        new.require_bounds()
        there = self.free_energy.linearise(new.theta, new.controls)
        y = there.gradient - self.at.gradient + shift @ (directions @ self.border.mixed)
        if float(torch.dot(s, y)) > torch.finfo(s.dtype).eps ** 0.5 * float(s.norm() * y.norm()):
            self.pairs.append((s, y))
        self.at = there

    def _drift(self, step: Vector) -> tuple[Float[Tensor, "m"], Float[Tensor, "m m"]]:
        """∇h·p of a step p, and dh/dd.

        With p = −A⁻¹g, ∇D·p = −b_λ·p is θ_λ·g, and ∇C·p is θ_γ·g. Once ∇J is small enough and only h is off, its exact
        gradients are worth the two products that they take.
        """
        at, held, precision = self.at, self.held, self.free_energy.objective.weight_prior_precision
        if len(held.values) and at.residual <= self.newton.tolerance:
            slopes = _slopes(held, at, self.border.tangents, precision)
            return held.weights @ functional_gradients(at, precision) @ step, slopes
        distortion, classification = (self.border.tangents[:2] @ at.gradient).unbind()
        rate = torch.dot(at.gradient - precision * at.theta, step)
        rate = rate - at.controls[0] * distortion - at.controls[1] * classification
        return held.weights @ torch.stack([rate, distortion, classification]), self.border.slopes

    def _stalls(self) -> bool:
        """Whether gᵀHg has grown, or has not fallen for three iterations, or |∇J| falls too slowly to its tolerance."""
        if not self.decrements[-1] <= _WILD * self.decrements[0]:
            return True
        if len(self.residuals) <= _WINDOW:
            return False
        if min(self.decrements[-3:]) >= min(self.decrements[:-3]):
            return True
        missing = self.residuals[-1] / self.newton.tolerance
        if missing <= 1.0:
            return False  # only h is off
        rate = math.log(max(self.residuals[-1 - _WINDOW], self.newton.tolerance) / self.residuals[-1]) / _WINDOW
        return len(self.residuals) + math.log(missing) / max(rate, 1e-3) > _MOST

    def _teach(self) -> None:
        """Hand what was learnt, and what it took, to the preconditioner."""
        if self.pairs:
            s, y = map(torch.stack, zip(*self.pairs))
            self.preconditioner.learn(s, y)
        self.preconditioner.report(int(_PRODUCTS * len(self.residuals)))


@dataclass(frozen=True)
class QuasiNewton(Corrector):
    """Quasi-Newton iterations for θ and m directions of the controls; Newton's method takes over where they stall.

    H is the preconditioner with the pairs that this and earlier corrections and solves have met. Where an iteration
    stalls, H is built anew at its best state if that is cheap, as it is where A has a closed form. With the border of
    an extrapolated θ_c an iteration costs one gradient and no product.

    Attributes:
        newton: What takes over, with the tolerances.
        preconditioner: That of the solver of `newton`.
    """

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
        """Iterate until both residuals are below their tolerances.

        Fails with INDEFINITE where A turns out to be so, or as Newton's method does.
        """
        if departure is None or departure.expected is None or departure.responses is None:
            return self.newton.correct(free_energy, state, constraint, departure)
        held = constraint if constraint is not None and self.newton.holds_constraint else _nothing(state)
        assert held.slopes is not None  # known wherever θ_c is
        iterations, best, bent = 0, state, _bent(state, departure)
        try:
            at = free_energy.linearise(bent.theta, bent.controls)
            self.preconditioner.prepare(at)
            border = _Border(departure.expected, departure.at.mixed, held.slopes)
            for left in range(_BUILDS, -1, -1):
                iteration = _Iteration(self.newton, self.preconditioner, free_energy, held, border, at)
                arrived = iteration.converges()
                at = iteration.at if arrived else iteration.best
                iterations, best = iterations + len(iteration.residuals), State(at.theta, at.controls)
                if arrived:
                    return Correction(best, at, iterations, None)
                if not (left and self._rebuilt(at)):
                    break
                border = self._border(free_energy, held, at)
        except NumericalFailure as failure:
            if failure.status is Status.INDEFINITE:
                return Correction(state, None, iterations, failure.status, failure.detail)
        found = self.newton.correct(free_energy, best, constraint, departure)
        # The iteration may have led away from where Newton's method goes; that A is indefinite tells of a fold instead.
        if found.failure not in (None, Status.INDEFINITE) and best is not state:
            iterations += found.iterations
            found = self.newton.correct(free_energy, state, constraint, departure)
        return replace(found, iterations=found.iterations + iterations)

    def _rebuilt(self, at: Linearisation) -> bool:
        """Whether H has been built anew, cheaply; raises INDEFINITE where A has a negative eigenvalue."""
        if self.preconditioner.recipe.products(at.size) > _CHEAP or not self.preconditioner.refresh(at):
            return False
        if self.preconditioner.most_negative(at) is not None:
            raise NumericalFailure(Status.INDEFINITE, f"|grad J| = {at.residual:.3g}")
        return True

    def _border(self, free_energy: FreeEnergy, held: Constraint, at: Linearisation) -> _Border:
        """The border where H has just been built, so that θ_c = H b_c."""
        tangents = self.preconditioner.apply(at.mixed)
        slopes = _slopes(held, at, tangents, free_energy.objective.weight_prior_precision)
        return _Border(tangents, at.mixed, slopes)


def _nothing(state: State) -> Constraint:
    """No held functional, and no free direction."""
    none = state.theta.new_zeros((0, 3))
    return Constraint(none, none[:, 0], none, none[:, :0])


def _bent(state: State, departure: Departure) -> State:
    """The prediction; one along the tangent is bent by what θ_c is expected to change, as by Adams and Bashforth."""
    assert departure.responses is not None and departure.expected is not None
    change, begin = state.controls - departure.at.controls, departure.at.theta
    tangent = begin + change @ departure.responses
    if float((tangent - state.theta).norm()) > 1e-9 * float((state.theta - begin).norm()):
        return state
    return State(begin + 0.5 * change @ (departure.responses + departure.expected), state.controls)


def _slopes(held: Constraint, at: Linearisation, tangents: Rows, precision: float) -> Float[Tensor, "m m"]:
    """dh/dd along the surface, from θ_c and the gradients of h at one state."""
    gradients = functional_gradients(at, precision) @ (held.directions @ tangents).T
    return held.weights @ (explicit_derivatives(at) @ held.directions.T + gradients)

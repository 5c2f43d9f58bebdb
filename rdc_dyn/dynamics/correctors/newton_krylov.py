"""Newton's method on the surface and, bordered, on level sets of h: [A −b_d; ∇hᵀ h_d] [δθ; δ] = −[∇J; h − h⁰]."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from rdc_dyn.curvature.free_energy import FreeEnergy
from rdc_dyn.curvature.linearisation import Linearisation
from rdc_dyn.dynamics.correctors.base import Constraint, Correction, Corrector, Departure
from rdc_dyn.dynamics.responses.base import explicit_derivatives, functional_gradients
from rdc_dyn.dynamics.state import State
from rdc_dyn.linalg.base import LinearSolver, Rows
from rdc_dyn.status import NumericalFailure, Status

#: A step that leaves more than this share of the residuals calls for a fresh border.
_SLOW = 0.2


@dataclass(frozen=True)
class _Border:
    """Effect of a step along the free directions d of the controls.

    Attributes:
        responses: θ_d = A⁻¹ b_d, shape (m, P).
        slopes: dh_i/dd_j along the surface.
        gradients: ∇_θ h, shape (m, P).
        fresh: Whether θ_d was solved for during this correction.
    """

    responses: Rows
    slopes: Float[Tensor, "m m"]
    gradients: Rows
    fresh: bool


@dataclass(frozen=True)
class NewtonKrylov(Corrector):
    """Newton's method for θ and m directions of the controls.

    The border, θ_d and dh/dd, begins with θ_d extrapolated from earlier points, so that a Newton step costs one solve.
    If the residuals fall slowly with it, θ_d is solved for anew, in m more solves with the same A. Near the surface
    convergence is quadratic with a fresh border, and otherwise linear at a rate set by the error of θ_d. Far from it
    Newton's method may go anywhere; a correction that does not contract fails, and the step is then shortened.

    Attributes:
        tolerance: On |∇J|.
        constraint_tolerance: On each |h − h⁰| in nats.
        max_iterations: Maximum number of Newton steps.
        holds_constraint: Whether to restore the held functionals too.
    """

    solver: LinearSolver
    tolerance: float
    constraint_tolerance: float = 1e-10
    max_iterations: int = 12
    holds_constraint: bool = True

    @property
    def promised(self) -> float:
        """The tolerance on |∇J|."""
        return self.tolerance

    def correct(
        self,
        free_energy: FreeEnergy,
        state: State,
        constraint: Constraint | None,
        departure: Departure | None = None,
    ) -> Correction:
        """Iterate until both residuals are below their tolerances.

        Fails with CORRECTOR_DIVERGED, BOUND_REACHED, DEGENERATE_CONSTRAINT, NON_FINITE or the status of a solve.
        """
        if not self.holds_constraint:
            constraint = None
        iterations, merits, residuals = 0, [math.inf], [math.inf]
        current, border = state, None
        expected = None if departure is None else departure.expected
        try:
            while True:
                at = free_energy.linearise(current.theta, current.controls)
                deviation = 0.0 if constraint is None else float(constraint.residual(at).abs().max())
                merit = max(at.residual / self.tolerance, deviation / self.constraint_tolerance)
                if merit <= 1.0:
                    return Correction(current, at, iterations, None)
                if iterations == self.max_iterations or self._diverges(merits, merit):
                    detail = f"|grad J| = {at.residual:.3g}, constraint off by {deviation:.3g} after {iterations} steps"
                    return Correction(state, None, iterations, Status.CORRECTOR_DIVERGED, detail)
                slow = merit > _SLOW * merits[-1]
                if constraint is not None:
                    border = self._border(free_energy, at, constraint, border, expected, solve=slow)
                rtol = self._forcing(at, residuals[-1], border, merit if slow else None)
                # A first step from the surface along the level set leaves it to second order, which is no divergence.
                merits.append(merit if at.residual > self.tolerance or iterations else math.inf)
                residuals.append(at.residual)
                current = self._newton(free_energy, at, constraint, border, rtol)
                iterations += 1
                current.require_bounds()
        except NumericalFailure as failure:
            return Correction(state, None, iterations, failure.status, failure.detail)

    @staticmethod
    def _diverges(merits: list[float], merit: float) -> bool:
        """Whether the merit is ten times the last, or over half of that two steps ago, by when the border is fresh."""
        return not math.isfinite(merit) or merit > 10 * merits[-1] or (len(merits) > 3 and merit > 0.5 * merits[-2])

    def _newton(
        self,
        free_energy: FreeEnergy,
        at: Linearisation,
        constraint: Constraint | None,
        border: _Border | None,
        rtol: float,
    ) -> State:
        (step,) = self._solve(free_energy, at, -at.gradient[None], rtol, None)
        if constraint is None or border is None:
            return State(at.theta + step, at.controls)
        shift, info = torch.linalg.solve_ex(border.slopes, -(constraint.residual(at) + border.gradients @ step))
        if int(info) or not bool(torch.isfinite(shift).all()):
            raise NumericalFailure(Status.DEGENERATE_CONSTRAINT, "the free multipliers do not move what is held")
        return State(at.theta + step + shift @ border.responses, at.controls + shift @ constraint.directions)

    def _border(
        self,
        free_energy: FreeEnergy,
        at: Linearisation,
        constraint: Constraint,
        last: _Border | None,
        expected: Rows | None,
        *,
        solve: bool,
    ) -> _Border:
        """The border in force: the extrapolated one until it is slow, from then on a fresh one at every state."""
        if last is not None and not (solve or last.fresh):
            return last
        gradients = constraint.weights @ functional_gradients(at, free_energy.objective.weight_prior_precision)
        if last is None and expected is not None:
            responses, fresh = constraint.directions @ expected, False
        else:
            guess = None if last is None else last.responses
            responses, fresh = self._solve(free_energy, at, constraint.directions @ at.mixed, 1e-3, guess), True
        slopes = constraint.weights @ explicit_derivatives(at) @ constraint.directions.T + gradients @ responses.T
        return _Border(responses, slopes, gradients, fresh)

    def _solve(self, free_energy: FreeEnergy, at: Linearisation, rows: Rows, rtol: float, start: Rows | None) -> Rows:
        solution = self.solver.solve(at, rows, rtol=rtol, start=start)
        free_energy.work.krylov_iterations += solution.iterations
        if solution.failure is not None:
            raise NumericalFailure(solution.failure, f"|grad J| = {at.residual:.3g}")
        return solution.value

    def _forcing(self, at: Linearisation, last: float, border: _Border | None, slow: float | None) -> float:
        """Relative residual η of the solve: loose while another error dominates, never tighter than the end needs.

        η = (|∇J| / previous |∇J|)² keeps convergence quadratic (Eisenstat & Walker 1996, choice 2), but with an
        extrapolated border it is linear anyway, and 1e-2 will do. A solve that leaves |r| = η |∇J| a few times below
        the tolerance is enough for the last step. If the merit fell slowly, h may be off by what the last solve left;
        `slow` is that merit, and the next solve is to leave less by its measure too.
        """
        enough = 0.3 * self.tolerance / at.residual if at.residual else 1.0
        enough = enough if slow is None else min(enough, 0.3 / slow)
        exact = border is None or border.fresh
        quadratic = (at.residual / last) ** 2 if exact and 0 < last < math.inf else 1.0
        return min(0.5, max(enough, min(1e-2, quadratic), 1e-2 * torch.finfo(at.theta.dtype).eps ** 0.5))

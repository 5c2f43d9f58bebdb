"""[A  −b_d; ∇hᵀ  h_d] [δθ; δ] = −[∇J; h − h⁰]: Newton's method on the surface and, bordered, on level sets of h."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from rdc_dyn.dynamics.corrector import Constraint, Correction
from rdc_dyn.dynamics.response import explicit_derivatives, functional_gradients
from rdc_dyn.dynamics.state import State
from rdc_dyn.linalg.base import LinearSolver
from rdc_dyn.objective.free_energy import FreeEnergy
from rdc_dyn.objective.linearisation import Linearisation
from rdc_dyn.status import NumericalFailure, Status


@dataclass(frozen=True)
class NewtonKrylov:
    """Newton steps for θ and m directions of the controls, by m + 1 solves with the same A.

    Quadratic near the surface. Far from it Newton's method may go anywhere; a correction that does not contract fails,
    and the step that needed it is taken shorter.

    Attributes:
        solver: How A⁻¹ is applied.
        tolerance: On |∇J|.
        constraint_tolerance: On each |h − h⁰| in nats.
        max_iterations: Most Newton steps.
        holds_constraint: Whether to restore the held functional too.
    """

    solver: LinearSolver
    tolerance: float
    constraint_tolerance: float = 1e-10
    max_iterations: int = 12
    holds_constraint: bool = True

    def correct(self, free_energy: FreeEnergy, state: State, constraint: Constraint | None) -> Correction:
        """Iterate until both residuals are below their tolerances.

        Args:
            free_energy: J.
            state: Where the integrator arrived.
            constraint: What to hold besides equilibrium, or None.

        Returns:
            The corrected state, or CORRECTOR_DIVERGED, BOUND_REACHED, or the failure of a solve.
        """
        if not self.holds_constraint:
            constraint = None
        iterations, last = 0, math.inf
        current = state
        try:
            while True:
                at = free_energy.linearise(current.theta, current.controls)
                deviation = 0.0 if constraint is None else float(constraint.residual(at).abs().max())
                merit = max(at.residual / self.tolerance, deviation / self.constraint_tolerance)
                if merit <= 1.0:
                    return Correction(current, at, iterations, None)
                if iterations == self.max_iterations or merit > 10 * last or not math.isfinite(merit):
                    detail = f"|grad J| = {at.residual:.3g}, constraint off by {deviation:.3g} after {iterations} steps"
                    return Correction(state, None, iterations, Status.CORRECTOR_DIVERGED, detail)
                last = merit
                current = self._newton(free_energy, at, constraint)
                iterations += 1
                current.require_bounds()
        except NumericalFailure as failure:
            return Correction(state, None, iterations, failure.status, failure.detail)

    def _newton(self, free_energy: FreeEnergy, at: Linearisation, constraint: Constraint | None) -> State:
        rows = -at.gradient[None]
        if constraint is not None:
            rows = torch.cat([rows, constraint.directions @ at.mixed])
        solution = self.solver.solve(at, rows, rtol=self._forcing(at))
        free_energy.work.krylov_iterations += solution.iterations
        if solution.failure is not None:
            raise NumericalFailure(solution.failure, f"|grad J| = {at.residual:.3g}")
        step, responses = solution.value[0], solution.value[1:]
        if constraint is None:
            return State(at.theta + step, at.controls)
        gradients = constraint.weights @ functional_gradients(at, free_energy.objective.weight_prior_precision)
        slopes = constraint.weights @ explicit_derivatives(at) @ constraint.directions.T + gradients @ responses.T
        shift, info = torch.linalg.solve_ex(slopes, -(constraint.residual(at) + gradients @ step))
        if int(info) or not bool(torch.isfinite(shift).all()):
            raise NumericalFailure(Status.DEGENERATE_CONSTRAINT, "the free multipliers do not move what is held")
        return State(at.theta + step + shift @ responses, at.controls + shift @ constraint.directions)

    def _forcing(self, at: Linearisation) -> float:
        """Relative residual of the solves: loose far out, tight enough at the end to land below the tolerance.

        A step whose solve leaves |r| = η |∇J| cannot end below η |∇J|; asking for a tenth of the tolerance in one step
        costs a few iterations and saves a Newton step.

        Returns:
            η.
        """
        floor = 1e-2 * torch.finfo(at.theta.dtype).eps ** 0.5
        return min(1e-3, max(0.1 * self.tolerance / max(at.residual, 0.1 * self.tolerance), floor))

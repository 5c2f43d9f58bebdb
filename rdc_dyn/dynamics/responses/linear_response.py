"""Linear response θ_c = A⁻¹ b_c and M = ∂_c(R, D, C)|_θ + ∇_θ(R, D, C)·θ_c (17, 18, 21, 27)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from rdc_dyn.curvature.free_energy import FreeEnergy
from rdc_dyn.curvature.linearisation import Linearisation
from rdc_dyn.dynamics.responses.base import Known, Response, explicit_derivatives, finite, functional_gradients
from rdc_dyn.dynamics.state import State
from rdc_dyn.linalg.base import LinearSolver, Rows
from rdc_dyn.status import NumericalFailure


def linear_response(at: Linearisation, solver: LinearSolver, precision: float, start: Rows | None = None) -> Response:
    """Solve A θ_c = b_c for the controls that J depends on, and form M.

    `precision` is ρ of the weight prior, which belongs to J but not to R; `start`, shape (3, P), is a first guess of
    θ_c. A solve that fails raises `NumericalFailure`.
    """
    active = at.mixed.abs().amax(dim=1) > 0
    directions = torch.zeros_like(at.mixed)
    iterations, residual = 0, 0.0
    if bool(active.any()):
        solution = solver.solve(at, at.mixed[active], start=None if start is None else start[active])
        if solution.failure is not None:
            raise NumericalFailure(solution.failure, f"lam = {at.controls[0]:.6g}, gamma = {at.controls[1]:.6g}")
        directions[active] = solution.value
        iterations, residual = solution.iterations, solution.residual
    matrix = explicit_derivatives(at) + functional_gradients(at, precision) @ directions.T
    curvature = float(at.control_hessian[2, 2] - torch.dot(at.mixed[2], directions[2]))
    return finite(Response(directions, matrix, at.forces, at.functionals, curvature, iterations, residual))


@dataclass(frozen=True)
class LinearResponse:
    """Solves with A at every point and every stage."""

    solver: LinearSolver
    tangent: bool = True

    def at_point(
        self,
        free_energy: FreeEnergy,
        at: Linearisation,
        before: Known | None,
        noise: Float[Tensor, "3"] | None = None,
    ) -> Response:
        """Solve at the point, starting from the extrapolated θ_c."""
        if before is None or before.expected is None:
            return self._solve(free_energy, at, None)
        response = self._solve(free_energy, at, before.expected)
        return replace(response, before=before.response.directions)

    def at_stage(self, free_energy: FreeEnergy, state: State, start: Known) -> Response:
        """Linearise and solve at the stage."""
        return self._solve(free_energy, free_energy.linearise(state.theta, state.controls), start.response.directions)

    def _solve(self, free_energy: FreeEnergy, at: Linearisation, start: Rows | None) -> Response:
        response = linear_response(at, self.solver, free_energy.objective.weight_prior_precision, start)
        free_energy.work.krylov_iterations += response.iterations
        return response

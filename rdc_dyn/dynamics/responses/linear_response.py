"""Linear response θ_c = A⁻¹ b_c and M = ∂_c(R, D, C)|_θ + ∇_θ(R, D, C)·θ_c (17, 18, 21, 27).

All products b_a·θ_b come from b_aᵀA⁻¹b_b = b_a·u_b + u_a·r_b + r_aᵀA⁻¹r_b for any approximate solutions u with
residuals r = b − A u. Without its last term, which is recorded as its error, this is of second order in that of u.
"""

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
    directions, left, energy = torch.zeros_like(at.mixed), torch.zeros_like(at.mixed), at.mixed.new_zeros((3, 3))
    iterations, residual = 0, 0.0
    if bool(active.any()):
        solution = solver.solve(at, at.mixed[active], start=None if start is None else start[active])
        if solution.failure is not None:
            raise NumericalFailure(solution.failure, f"lam = {at.controls[0]:.6g}, gamma = {at.controls[1]:.6g}")
        directions[active], left[active] = solution.value, solution.left
        energy[torch.outer(active, active)] = solution.energy.flatten()
        iterations, residual = solution.iterations, solution.residual
    lam, gamma = at.controls[:2].tolist()
    by_mixed = at.controls.new_tensor([[lam, gamma, 0.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
    second_order = directions @ left.T
    matrix = explicit_derivatives(at) + functional_gradients(at, precision) @ directions.T + by_mixed @ second_order
    curvature = float(at.control_hessian[2, 2] - torch.dot(at.mixed[2], directions[2]) - second_order[2, 2])
    solved = float((by_mixed @ energy).abs().max() / matrix.abs().max().clamp_min(torch.finfo(matrix.dtype).tiny))
    return finite(
        Response(directions, matrix, at.forces, at.functionals, curvature, iterations, residual, solve_error=solved)
    )


@dataclass(frozen=True)
class LinearResponse:
    """Solves with A at every point and every stage."""

    solver: LinearSolver
    tangent: bool = True

    def at_point(
        self, free_energy: FreeEnergy, at: Linearisation, before: Known | None, noise: Float[Tensor, "3"] | None = None
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

"""θ_c = A⁻¹ b_c and M = d(R, D, C)/d(λ, γ, t) = ∂_c(R, D, C)|_θ + ∇_θ(R, D, C)·θ_c (17, 18, 21, 27)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from rdc_dyn.linalg.base import LinearSolver, Rows
from rdc_dyn.objective.linearisation import Linearisation
from rdc_dyn.status import NumericalFailure


@dataclass(frozen=True)
class Response:
    """Linear response of an equilibrium to its controls.

    Attributes:
        directions: θ_λ, θ_γ, θ_t, shape (3, P).
        matrix: M, rows (rate, distortion, classification loss), columns (λ, γ, t); its (D, C) x (λ, γ) block is the
            Hessian of the free energy F.
        forces: ∂J/∂(λ, γ, t) at fixed θ, shape (3,).
        functionals: (R, D, C) in nats.
        data_curvature: ∂²F/∂t² along the surface at fixed multipliers.
        iterations: Krylov iterations it took.
        residual: Largest relative residual of the solves.
    """

    directions: Rows
    matrix: Float[Tensor, "3 3"]
    forces: Float[Tensor, "3"]
    functionals: Float[Tensor, "3"]
    data_curvature: float
    iterations: int
    residual: float


def functional_gradients(at: Linearisation, precision: float) -> Rows:
    """∇_θ(R, D, C): ∇D = −b_λ, ∇C = −b_γ, ∇R = ∇J − ρθ − λ∇D − γ∇C; shape (3, P)."""
    b_lam, b_gamma = at.mixed[0], at.mixed[1]
    lam, gamma = at.controls[0], at.controls[1]
    rate = at.gradient - precision * at.theta + lam * b_lam + gamma * b_gamma
    return torch.stack([rate, -b_lam, -b_gamma])


def explicit_derivatives(at: Linearisation) -> Float[Tensor, "3 3"]:
    """∂_c(R, D, C) at fixed θ: (D, C) from ∂²J/∂c∂c', and R = J − λD − γC differentiated."""
    hessian = at.control_hessian
    lam, gamma = at.controls[0], at.controls[1]
    rate = -lam * hessian[0] - gamma * hessian[1]
    rate[2] += at.forces[2]  # ∂_λJ = D and ∂_γJ = C cancel, ∂_tJ stays
    return torch.stack([rate, hessian[0], hessian[1]])


def linear_response(at: Linearisation, solver: LinearSolver, precision: float) -> Response:
    """Solve A θ_c = b_c for the controls that J depends on, and form M.

    Args:
        at: Linearisation of ∇J.
        solver: How A⁻¹ is applied.
        precision: ρ of the weight prior, which belongs to J but not to R.

    Returns:
        The response.

    Raises:
        NumericalFailure: With the status of a solve that failed.
    """
    active = at.mixed.abs().amax(dim=1) > 0
    directions = torch.zeros_like(at.mixed)
    iterations, residual = 0, 0.0
    if bool(active.any()):
        solution = solver.solve(at, at.mixed[active])
        if solution.failure is not None:
            raise NumericalFailure(solution.failure, f"lam = {at.controls[0]:.6g}, gamma = {at.controls[1]:.6g}")
        directions[active] = solution.value
        iterations, residual = solution.iterations, solution.residual
    matrix = explicit_derivatives(at) + functional_gradients(at, precision) @ directions.T
    curvature = float(at.control_hessian[2, 2] - torch.dot(at.mixed[2], directions[2]))
    return Response(directions, matrix, at.forces, at.functionals, curvature, iterations, residual)

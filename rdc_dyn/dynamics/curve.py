"""Pseudo-arclength continuation of {∇_θ J = 0, h = h⁰, f(c) = f⁰} as a curve in (θ, λ, γ, t), smooth at a fold."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from rdc_dyn.curvature.free_energy import FreeEnergy
from rdc_dyn.curvature.linearisation import Linearisation
from rdc_dyn.dynamics.processes.base import Process
from rdc_dyn.dynamics.responses.base import Response, explicit_derivatives, functional_gradients
from rdc_dyn.dynamics.responses.linear_response import linear_response
from rdc_dyn.dynamics.state import State
from rdc_dyn.linalg import LinearSolution, SymmetricOperator, materialise
from rdc_dyn.linalg.base import Rows
from rdc_dyn.linalg.factorisation import negative_eigenvalues
from rdc_dyn.status import NumericalFailure, Status

Extended = Float[Tensor, "P+3"]


@dataclass(frozen=True)
class CurvePoint:
    """A point of the curve.

    Attributes:
        matrix: A, shape (P, P).
        tangent: Unit tangent in (θ, λ, γ, t), in the direction of travel.
        iterations: Newton steps that led here.
    """

    at: Linearisation
    matrix: Tensor
    tangent: Extended
    iterations: int

    @property
    def position(self) -> Extended:
        """(θ, λ, γ, t)."""
        return torch.cat([self.at.theta, self.at.controls])


@dataclass(frozen=True)
class _Formed:
    """Direct solver u = A⁻¹b for an A that is already formed, definite or not."""

    matrix: Tensor

    def solve(
        self, operator: SymmetricOperator, rhs: Rows, *, rtol: float | None = None, start: Rows | None = None
    ) -> LinearSolution:
        value, info = torch.linalg.solve_ex(self.matrix, rhs.T)
        failure = Status.SINGULAR if int(info) or not bool(torch.isfinite(value).all()) else None
        left = rhs - value.T @ self.matrix
        residual = float((left.norm(dim=1) / rhs.norm(dim=1)).max())
        return LinearSolution(value.T, failure, 0, residual, left, rhs.new_zeros(2 * rhs.shape[:1]))


@dataclass(frozen=True)
class Curve:
    """Pseudo-arclength continuation (Keller 1977) of the path of a process, through folds and along unstable branches.

    There are P + 2 equations in P + 3 unknowns. The bordered matrix is regular at a fold, where A alone is singular. A
    is formed explicitly.

    Attributes:
        held_values: h⁰ in nats, shape (m,).
        frame: f⁰, the values of `Process.frame` along the path, shape (2 − m,).
        tolerance: On |∇J|.
        constraint_tolerance: On |h − h⁰| in nats and |f − f⁰|.
        max_iterations: Maximum number of Newton steps.
    """

    free_energy: FreeEnergy
    process: Process
    held_values: Tensor
    frame: Tensor
    tolerance: float
    constraint_tolerance: float = 1e-10
    max_iterations: int = 10

    def begin(self, at: Linearisation, direction: Extended) -> CurvePoint:
        """The curve point at a known equilibrium, with its tangent oriented along `direction`."""
        matrix = materialise(at)
        return CurvePoint(at, matrix, self._tangent(self._jacobian(at, matrix), direction / direction.norm()), 0)

    def step(self, point: CurvePoint, length: float) -> CurvePoint:
        """Predict by arclength `length` along the tangent, then correct in the plane orthogonal to it.

        A correction that fails raises `NumericalFailure`.
        """
        predicted = point.position + length * point.tangent
        position, last = predicted, math.inf
        for iteration in range(self.max_iterations + 1):
            state = State(position[:-3], position[-3:])
            state.require_bounds()
            at = self.free_energy.linearise(state.theta, state.controls)
            constraint = self._constraint(at)
            merit = max(at.residual / self.tolerance, float(constraint.norm()) / self.constraint_tolerance)
            if merit > 10 * last or not math.isfinite(merit):
                break
            last = merit
            matrix = materialise(at)
            jacobian = self._jacobian(at, matrix)
            if merit <= 1.0:
                return CurvePoint(at, matrix, self._tangent(jacobian, point.tangent), iteration)
            plane = torch.dot(point.tangent, position - predicted)
            residual = torch.cat([at.gradient, constraint, plane[None]])
            position = position - self._solve(jacobian, point.tangent, residual)
        raise NumericalFailure(Status.CORRECTOR_DIVERGED, f"|grad J| = {at.residual:.3g} in pseudo-arclength")

    def respond(self, point: CurvePoint) -> Response:
        """θ_c and M from the formed A, which may be indefinite."""
        precision = self.free_energy.objective.weight_prior_precision
        return linear_response(point.at, _Formed(point.matrix), precision)

    def morse_index(self, point: CurvePoint) -> int:
        """Number of negative eigenvalues of A; its zero modes are positive in the formed matrix."""
        return negative_eigenvalues(point.matrix)

    def _weights(self, at: Linearisation) -> Tensor:
        return at.theta.new_tensor(self.process.held).reshape(-1, 3)

    def _constraint(self, at: Linearisation) -> Tensor:
        held = self._weights(at) @ at.functionals - self.held_values
        return torch.cat([held, self.process.frame(at.controls) - self.frame])

    def _jacobian(self, at: Linearisation, matrix: Tensor) -> Tensor:
        """∂(∇J, h, f)/∂(θ, λ, γ, t), shape (P + 2, P + 3)."""
        weights = self._weights(at)
        precision = self.free_energy.objective.weight_prior_precision
        frame = torch.func.jacrev(self.process.frame)(at.controls)
        return torch.cat(
            [
                torch.cat([matrix, -at.mixed.T], dim=1),
                torch.cat([weights @ functional_gradients(at, precision), weights @ explicit_derivatives(at)], dim=1),
                torch.cat([frame.new_zeros((frame.shape[0], at.size)), frame], dim=1),
            ]
        )

    @staticmethod
    def _solve(jacobian: Tensor, last_row: Extended, rhs: Extended) -> Extended:
        solution, info = torch.linalg.solve_ex(torch.cat([jacobian, last_row[None]]), rhs)
        if int(info) or not bool(torch.isfinite(solution).all()):
            raise NumericalFailure(Status.SINGULAR, "the bordered matrix of the curve")
        return solution

    def _tangent(self, jacobian: Tensor, along: Extended) -> Extended:
        """Unit null vector of the Jacobian with a positive component along `along`."""
        rhs = torch.zeros_like(along)
        rhs[-1] = 1.0
        tangent = self._solve(jacobian, along, rhs)
        return tangent / tangent.norm()

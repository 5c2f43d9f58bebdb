"""Interface of the response models, which find θ_c = dθ/dc and M = d(R, D, C)/d(λ, γ, t) along the surface."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from rdc_dyn.curvature.free_energy import FreeEnergy
from rdc_dyn.curvature.linearisation import Linearisation
from rdc_dyn.dynamics.state import State
from rdc_dyn.linalg.base import Controls, Rows, all_finite
from rdc_dyn.status import NumericalFailure, Status

#: Entries of the symmetric X = Hess F − E, in the order of an estimate's covariance.
ENTRIES = ((0, 0), (0, 1), (1, 1), (0, 2), (1, 2), (2, 2))
#: Relative departure of the entries of Hess F from power laws within a step, as seen on exact paths.
_POWER_LAW = 0.2


@dataclass(frozen=True)
class Estimate:
    """What the steps of a path have revealed of Hess F = E + X.

    Attributes:
        implicit: X, what the response of θ adds, shape (3, 3).
        explicit: E = ∂²J/∂c∂c' at fixed θ, shape (3, 3).
        covariance: Of X's entries (λλ, λγ, γγ, λt, γt, tt), shape (6, 6).
        errors: Standard errors of (D, C, ∂_tF) at the point, in nats, shape (3,).
        sizes: Orders of magnitude of X's entries, shape (6,).
        surprise: Largest deviation of the last step's secant from a symmetric X, in standard errors.
    """

    implicit: Float[Tensor, "3 3"]
    explicit: Float[Tensor, "3 3"]
    covariance: Float[Tensor, "6 6"]
    errors: Float[Tensor, "3"]
    sizes: Float[Tensor, "6"]
    surprise: float = 0.0

    def to(self, like: Tensor) -> Estimate:
        """The estimate with the dtype and on the device of another tensor."""
        tensors = {f.name: getattr(self, f.name).to(like) for f in fields(self) if f.name != "surprise"}
        return Estimate(**tensors, surprise=self.surprise)

    def bend(self, earlier: Estimate, move: Controls) -> tuple[float, float]:
        """Δc·(Hess F(earlier) − Hess F) Δc if the entries of X scale with their sizes, and its error."""
        square = torch.outer(move, move).to(self.implicit)
        terms = torch.stack([square[i, j] * (1 if i == j else 2) for i, j in ENTRIES])
        terms = terms * (torch.where(self.sizes > 0, earlier.sizes / self.sizes, 1.0) - 1)
        entries = torch.stack([self.implicit[place] for place in ENTRIES])
        value = (square * (earlier.explicit - self.explicit)).sum() + terms @ entries
        return float(value), math.hypot((terms @ self.covariance @ terms).clamp_min(0).sqrt(), _POWER_LAW * value)

    def double(self) -> Estimate:
        """The estimate in float64 on the CPU."""
        return self.to(torch.zeros((), dtype=torch.float64))


@dataclass(frozen=True)
class Response:
    """How an equilibrium responds to its controls.

    Attributes:
        directions: θ_λ, θ_γ, θ_t, shape (3, P).
        matrix: M, rows (R, D, C), columns (λ, γ, t), shape (3, 3); its (D, C) x (λ, γ) block is the Hessian of F.
        forces: ∂J/∂(λ, γ, t) at fixed θ, in nats, shape (3,).
        functionals: (R, D, C) in nats, shape (3,).
        data_curvature: ∂²F/∂t² along the surface at fixed multipliers.
        iterations: Krylov iterations spent.
        residual: Largest relative residual of the solves; NaN if nothing was solved.
        before: θ_c at the previous point of the same branch, shape (3, P), for extrapolation; or None.
        estimate: What a filter knows of M; None if M is solved for or differenced.
        error: Standard errors of M if it is an estimate, shape (3, 3).
        solve_error: What the solves left undone in M, relative to its largest entry; NaN if nothing was solved.
    """

    directions: Float[Tensor, "3 P"]
    matrix: Float[Tensor, "3 3"]
    forces: Float[Tensor, "3"]
    functionals: Float[Tensor, "3"]
    data_curvature: float
    iterations: int
    residual: float
    before: Float[Tensor, "3 P"] | None = None
    estimate: Estimate | None = None
    error: Float[Tensor, "3 3"] | None = None
    solve_error: float = math.nan


def finite(response: Response) -> Response:
    """The response as it is; raises `NumericalFailure` with NON_FINITE if one of its numbers is not finite."""
    # A second derivative may overflow where J and ∇J are finite.
    numbers = (response.directions, response.matrix, response.forces, response.functionals)
    if not (all_finite(*numbers) and math.isfinite(response.data_curvature)):
        raise NumericalFailure(Status.NON_FINITE, "derivatives of R, D and C along the surface")
    return response


def functional_gradients(at: Linearisation, precision: float) -> Rows:
    """∇_θ(R, D, C), shape (3, P): ∇D = −b_λ, ∇C = −b_γ, ∇R = ∇J − ρθ − λ∇D − γ∇C with ρ of the weight prior."""
    b_lam, b_gamma = at.mixed[0], at.mixed[1]
    lam, gamma = at.controls[0], at.controls[1]
    rate = at.gradient - precision * at.theta + lam * b_lam + gamma * b_gamma
    return torch.stack([rate, -b_lam, -b_gamma])


def explicit_derivatives(at: Linearisation) -> Float[Tensor, "3 3"]:
    """∂_c(R, D, C) at fixed θ: (D, C) from ∂²J/∂c∂c', and R by differentiating J − λD − γC."""
    hessian = at.control_hessian
    lam, gamma = at.controls[0], at.controls[1]
    rate = -lam * hessian[0] - gamma * hessian[1]
    rate[2] += at.forces[2]  # ∂_λJ = D and ∂_γJ = C cancel, ∂_tJ remains
    return torch.stack([rate, hessian[0], hessian[1]])


@dataclass(frozen=True)
class Known:
    """A point of the path whose response is known.

    Attributes:
        state: θ and controls.
        response: θ_c, M, forces and (R, D, C) there.
        expected: θ_c extrapolated to the end of the step that begins here, shape (3, P); None on another branch.
    """

    state: State
    response: Response
    expected: Rows | None = None


class ResponseModel(Protocol):
    """Finds θ_c and M.

    Attributes:
        tangent: Whether θ_c is the tangent of the surface, so that a correction is of second order in the step.
    """

    @property
    def tangent(self) -> bool:
        """Whether θ_c is the tangent of the surface."""

    def at_point(
        self, free_energy: FreeEnergy, at: Linearisation, before: Known | None, noise: Float[Tensor, "3"] | None = None
    ) -> Response:
        """The response at an accepted point of the path.

        Args:
            free_energy: J.
            at: Linearisation of ∇J at the point.
            before: The previous point, or None at the start of the path.
            noise: Standard errors of (R, D, C) at the point in nats, shape (3,); None if these are not estimates.

        Returns:
            The response.

        Raises:
            NumericalFailure: With the status of what failed on the way.
        """

    def at_stage(self, free_energy: FreeEnergy, state: State, start: Known) -> Response:
        """The response at a stage of the integrator within a step, off the surface.

        Args:
            free_energy: J.
            state: The stage.
            start: Where the step began.

        Returns:
            The response.

        Raises:
            NumericalFailure: With the status of what failed on the way.
        """


def extrapolated(start: Known, state: State) -> Response:
    """The response within a step by the M of its start: (R, D, C) change by M Δc, and the forces by Hess F Δc."""
    known, change = start.response, state.controls - start.state.controls
    moved = free_energy_hessian(known) @ change
    return replace(known, functionals=known.functionals + known.matrix @ change, forces=known.forces + moved)


def free_energy_hessian(response: Response) -> Float[Tensor, "3 3"]:
    """Hess F = d(D, C, ∂_tF)/d(λ, γ, t) from M, ∂²F/∂t² and the symmetries ∂_λ∂_tF = D_t, ∂_γ∂_tF = C_t."""
    matrix = response.matrix
    last = torch.stack([matrix[1, 2], matrix[2, 2], matrix.new_tensor(response.data_curvature)])
    return torch.cat([matrix[1:], last[None]])

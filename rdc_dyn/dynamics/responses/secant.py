"""M from the path's own history: Hess F += r wᵀ + w rᵀ − (r·Δc) w wᵀ, r = Δ(D, C, ∂_tF) − Hess F Δc, w·Δc = 1."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from rdc_dyn.curvature.free_energy import FreeEnergy
from rdc_dyn.curvature.linearisation import Linearisation
from rdc_dyn.dynamics.responses.base import Known, Response, extrapolated, finite, free_energy_hessian
from rdc_dyn.dynamics.responses.linear_response import LinearResponse
from rdc_dyn.dynamics.state import State
from rdc_dyn.linalg.base import Controls, Rows, all_finite
from rdc_dyn.status import NumericalFailure, Status

#: A step shorter than this share of the multipliers reveals nothing above rounding.
_SHORT = 1e-8
#: Smallest curvature of −F, as a share of the largest: noise must not reverse the path.
_FLAT = 1e-3


@dataclass(frozen=True)
class Secant:
    """θ_c and M by secant updates from step to step: no solve, and no run besides the path's own.

    d(D, C, ∂_tF)/d(λ, γ, t) is Hess F, which is symmetric (Maxwell), so it takes Powell's symmetric update (1970), in
    lengths relative to (λ, γ). θ_c, which is only a predictor, takes Broyden's good update (1965),
    θ_c += w (Δθ − θ_cΔc). The row of R follows from the first law, dR = ∂_tF dt − λ dD − γ dC − dΩ, and so gains from
    the symmetry of the others.

    Along the path M converges with the step; across it M is only as good as the excitation by the pull towards the held
    values. The (λ, γ) block is kept negative definite, as it is on the surface: where corrections are noisy, an update
    that gave C_γ the wrong sign would reverse the path. What equilibration still changes at fixed multipliers is taken
    for response, so begin where |∇J| is small. Do not learn θ_c where corrections stop far from the surface: their
    wandering would be extrapolated.

    Attributes:
        first: Gives the first response by a solve; None guesses it from (R, D, C).
        predictor: Whether θ_c is learnt; otherwise it stays as it is at the start.
    """

    first: LinearResponse | None = None
    predictor: bool = True
    tangent: bool = False

    def at_point(
        self, free_energy: FreeEnergy, at: Linearisation, before: Known | None, noise: Float[Tensor, "3"] | None = None
    ) -> Response:
        """Update by the last step; at the start of the path, solve or guess."""
        if before is None:
            return self._guess(free_energy, at) if self.first is None else self.first.at_point(free_energy, at, None)
        known, step = before.response, at.controls - before.state.controls
        scale = relative_scale(0.5 * (at.controls + before.state.controls))
        length = float((step / scale).norm())
        if length < _SHORT:
            return replace(known, forces=at.forces, functionals=at.functionals)
        w = step / (scale * length).square()
        directions = known.directions
        if self.predictor:
            directions = directions + torch.outer(w, at.theta - before.state.theta - step @ directions)
        hessian = free_energy_hessian(known)
        r = at.forces - known.forces - hessian @ step
        update = torch.outer(r, w) + torch.outer(w, r) - torch.dot(r, step) * torch.outer(w, w)
        return _response(free_energy, at, directions, concave(hessian + update, scale))

    def at_stage(self, free_energy: FreeEnergy, state: State, start: Known) -> Response:
        """The response extrapolated with the M of the step's start."""
        return extrapolated(start, state)

    @staticmethod
    def _guess(free_energy: FreeEnergy, at: Linearisation) -> Response:
        """θ_c = 0, C_γ = −C/γ and D_λ = −R/λ²: power laws of C, and of R, which unlike D has no floor of its own.

        C_λ = 0 makes the first step of a held process explore λ, and the pull back to the held value explores γ. The
        derivatives at fixed θ are known, and Hess F is at least as negative as they are.
        """
        hessian, scale = at.control_hessian.clone(), relative_scale(at.controls)
        size = at.functionals.abs()
        hessian[0, 0] = torch.minimum(hessian[0, 0], -size[0] / scale[0].square())
        hessian[1, 1] = torch.minimum(hessian[1, 1], -size[2] / scale[1])
        return _response(free_energy, at, at.theta.new_zeros(3, at.size), concave(hessian, scale))


def relative_scale(controls: Controls) -> Controls:
    """Units of length for (λ, γ, t): λ, γ and 1, or 1 in place of a multiplier that is zero."""
    scale = torch.where(controls > 0, controls, 1.0)
    scale[2] = 1.0
    return scale


def concave(hessian: Float[Tensor, "3 3"], scale: Controls) -> Float[Tensor, "3 3"]:
    """Hess F with a negative definite (λ, γ) block: its eigenvalues in relative lengths are clipped."""
    units = torch.outer(scale[:2], scale[:2])
    if not all_finite(hessian, units):
        raise NumericalFailure(Status.NON_FINITE, "second derivatives of F")
    values, vectors = torch.linalg.eigh(hessian[:2, :2] * units)
    highest = -_FLAT * values.abs().max().clamp_min(torch.finfo(values.dtype).tiny)
    if bool(values.max() <= highest):
        return hessian
    hessian = hessian.clone()
    hessian[:2, :2] = (vectors * values.clamp(max=highest)) @ vectors.T / units
    return hessian


def _response(free_energy: FreeEnergy, at: Linearisation, directions: Rows, hessian: Float[Tensor, "3 3"]) -> Response:
    """The response whose M has the rows D and C of Hess F, and the row R by the first law."""
    rate = -at.controls[:2] @ hessian[:2] - free_energy.objective.weight_prior_precision * (directions @ at.theta)
    rate[2] += at.forces[2]
    matrix = torch.cat([rate[None], hessian[:2]])
    return finite(Response(directions, matrix, at.forces, at.functionals, float(hessian[2, 2]), 0, float("nan")))

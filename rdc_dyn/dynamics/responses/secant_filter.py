"""M of averaged points by a Kalman filter over the path's own steps: Δ(D, C, ∂_tF) = (E + X) Δc + noise."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from rdc_dyn.curvature.free_energy import FreeEnergy
from rdc_dyn.curvature.graph import control_hessian
from rdc_dyn.curvature.linearisation import Linearisation
from rdc_dyn.dynamics.responses.base import ENTRIES, Estimate, Known, Response, extrapolated, finite
from rdc_dyn.dynamics.responses.secant import concave, relative_scale
from rdc_dyn.dynamics.state import SMALLEST_T, State, relative_change
from rdc_dyn.linalg.base import Controls
from rdc_dyn.objective.base import OverData, terms_of

#: First guess of −D_λ and −C_γ as a share of R/λ² and C/γ, and its standard error: equilibria of an MNIST VAE at
#: neighbouring multipliers give 0.5 to 0.8, and a tenth for the mixed entry.
_GUESS, _UNKNOWN = 0.7, 0.3
#: Standard error of the change of an entry when the controls double, as a share of its size.
_CHANGE = 0.2
#: The same of an entry of t when t doubles: where data are new, D and C turn while θ learns them.
_TURN = 1.0
#: Data per block in the pass for the explicit derivatives.
_BLOCK = 2000


@dataclass(frozen=True)
class SecantFilter:
    """Hess F = E + X with E = ∂²J/∂c∂c' at fixed θ, exact, and X = −bᵀA⁻¹b, filtered from secants.

    D, C and ∂_tF are derivatives of F, so X is symmetric (Maxwell), and each step of the path gives three equations for
    its six entries: r = Δ(D, C, ∂_tF) − ∫E dc = X Δc, with the errors that the corrector states. A step along which C
    is held relates C_λ to C_γ; the row of D, the symmetry and the turning of the path give the rest, and the filter's
    covariance says how well. X changes along the path, so its covariance grows with the step. The errors are those of
    this model of change: on an exact linear-Gaussian path with a nearly singular Hess F they were too small by half
    across the path; along it, which is what a process follows, M was right to 3 %.

    θ_c is not learnt: the corrector carries θ on.
    """

    tangent: bool = False

    def at_point(
        self, free_energy: FreeEnergy, at: Linearisation, before: Known | None, noise: Float[Tensor, "3"] | None = None
    ) -> Response:
        """Update by the last step; at the start of the path, guess."""
        explicit = explicit_hessian(free_energy, at)
        errors = _force_errors(at, noise)
        if before is None or before.response.estimate is None:
            estimate = _guess(at, explicit, errors)
        else:
            estimate = _updated(before.response.estimate, before, at, explicit, errors)
        return _response(at, estimate)

    def at_stage(self, free_energy: FreeEnergy, state: State, start: Known) -> Response:
        """The response extrapolated with the M of the step's start."""
        return extrapolated(start, state)


def explicit_hessian(free_energy: FreeEnergy, at: Linearisation) -> Float[Tensor, "3 3"]:
    """∂²J/∂c∂c' at fixed θ by a pass over the data; zero if J is linear in λ and γ and the data do not move."""
    objective = free_energy.objective
    if getattr(objective, "linear", False) and not objective.moves:
        return at.theta.new_zeros((3, 3))
    blocks = objective.data.blocks(_BLOCK) if isinstance(objective, OverData) else ()
    free_energy.work.gradient_evaluations += 1 / 3
    return control_hessian(terms_of(objective, blocks), at.theta, at.controls)


def _force_errors(at: Linearisation, noise: Float[Tensor, "3"] | None) -> Float[Tensor, "3"]:
    """Standard errors of (D, C, ∂_tF), never below rounding."""
    rounding = 1e2 * torch.finfo(at.theta.dtype).eps * at.forces.abs().clamp_min(1e-3)
    if noise is None:
        return rounding
    both = noise[1:].abs()
    return torch.maximum(torch.cat([both, (at.controls[:2].abs() @ both)[None]]), rounding)


def _sizes(at: Linearisation, explicit: Float[Tensor, "3 3"]) -> Float[Tensor, "6"]:
    """Scales of X's entries: R/λ², C/γ, their geometric mean, and for t explicit derivatives of J."""
    scale, size = relative_scale(at.controls), at.functionals.abs()
    own = torch.stack([size[0] / scale[0] ** 2, size[2] / scale[1]])
    moving = explicit[:2, 2].abs()
    mixed = (own[0] * own[1]).sqrt()
    # θ learns the new data as their share grows, so ∂_tF falls by its own size while t grows by its own.
    bend = (moving @ at.controls[:2].abs()) / at.controls[2].clamp_min(SMALLEST_T)
    return torch.stack([own[0], mixed, own[1], *moving, bend])


def _magnitudes(sizes: Float[Tensor, "6"], controls: Controls) -> Float[Tensor, "6"]:
    """The scales, but for λγ the less of C/λ and R/λγ: no multiplier moves the other's loss more than its own does.

    That is meant in logarithms. Where γC is far below R, as in a VAE, the geometric mean is several times too large.
    """
    scale, found = relative_scale(controls), sizes.clone()
    found[1] = torch.minimum(sizes[2] * scale[1] / scale[0], sizes[0] * scale[0] / scale[1])
    return found


def _guess(at: Linearisation, explicit: Float[Tensor, "3 3"], errors: Float[Tensor, "3"]) -> Estimate:
    """D_λ and C_γ as a share of −R/λ² and −C/γ, and zero for the mixed entries."""
    sizes = _sizes(at, explicit)
    implicit = torch.zeros_like(explicit)
    implicit[0, 0], implicit[1, 1] = -_GUESS * sizes[0], -_GUESS * sizes[2]
    uncertain = _magnitudes(sizes, at.controls) * sizes.new_tensor([_UNKNOWN, _UNKNOWN, _UNKNOWN, 1.0, 1.0, 1.0])
    return Estimate(implicit, explicit, torch.diag(uncertain.square()), errors, sizes)


def _updated(
    before: Estimate, start: Known, at: Linearisation, explicit: Float[Tensor, "3 3"], errors: Float[Tensor, "3"]
) -> Estimate:
    """Kalman update by the secant of the last step, in float64 whatever the run's dtype.

    From point to point the entries of X relative to their sizes persist, as in power laws, rather than X. `explicit`
    and `errors` are those at the end of the step.
    """
    known, now, then = before.double(), at.controls.double().cpu(), start.state.controls.double().cpu()
    step, relative = now - then, relative_change(then, now)
    sizes = _sizes(at, explicit).double().cpu()
    half = torch.where(known.sizes > 0, sizes / known.sizes, 1.0).sqrt()  # to the middle of the step, and on to its end
    implicit, covariance = half * _vector(known.implicit), torch.outer(half, half) * known.covariance
    change_of_entries = _CHANGE * float(relative.norm())
    changes = step.new_full((len(ENTRIES),), change_of_entries)
    changes[3:] += _TURN * float(relative[2])
    drift = changes * torch.maximum(half * _magnitudes(known.sizes, then), implicit.abs())
    covariance = covariance + torch.diag(drift.square())
    change = (at.forces - start.response.forces).double().cpu()
    design = torch.stack([_row(i, step) for i in range(3)])
    innovation = change - 0.5 * (known.explicit + explicit.double().cpu()) @ step - design @ implicit
    noise = torch.diag(known.errors.square() + errors.double().cpu().square())
    spread = design @ covariance @ design.T + noise
    gain = torch.linalg.solve(spread, design @ covariance).T
    vector = half * (implicit + gain @ innovation)
    covariance = covariance - gain @ design @ covariance
    covariance = torch.outer(half, half) * 0.5 * (covariance + covariance.T)
    covariance = covariance + torch.diag((0.5 * change_of_entries * vector).square())  # from the middle of the step on
    surprise = float((innovation.square() / spread.diagonal()).max().sqrt())
    found = Estimate(_matrix(vector), explicit.double().cpu(), covariance, errors.double().cpu(), sizes, surprise)
    return found.to(at.theta)


def _row(i: int, step: Float[Tensor, "3"]) -> Float[Tensor, "6"]:
    """Coefficients of X's entries in (X Δc)_i."""
    row = step.new_zeros(len(ENTRIES))
    for k, (a, b) in enumerate(ENTRIES):
        if a == i:
            row[k] += step[b]
        elif b == i:
            row[k] += step[a]
    return row


def _vector(matrix: Float[Tensor, "3 3"]) -> Float[Tensor, "6"]:
    return torch.stack([matrix[a, b] for a, b in ENTRIES])


def _matrix(vector: Float[Tensor, "6"]) -> Float[Tensor, "3 3"]:
    matrix = vector.new_zeros((3, 3))
    for value, (a, b) in zip(vector, ENTRIES):
        matrix[a, b] = matrix[b, a] = value
    return matrix


def _response(at: Linearisation, estimate: Estimate) -> Response:
    """M with its standard errors; the (λ, γ) block is kept negative definite, as it is on the surface.

    D_λ and C_γ, which are negative, are taken to be at least as large as their errors: where one is merely uncertain,
    feedback and prediction then move the multiplier by the least that the data allow.
    """
    hessian, errors = estimate.explicit + estimate.implicit, _errors(at.controls, estimate.covariance)
    own = torch.minimum(hessian.diagonal()[:2], -errors[1:, :2].diagonal())
    hessian = concave(hessian.diagonal_scatter(torch.cat([own, hessian[2:, 2]])), relative_scale(at.controls))
    matrix = torch.cat([(-at.controls[:2] @ hessian[:2])[None], hessian[:2]])
    matrix[0, 2] += at.forces[2]
    directions = at.theta.new_zeros(()).expand(3, at.size)
    found = Response(directions, matrix, at.forces, at.functionals, float(hessian[2, 2]), 0, float("nan"))
    return finite(replace(found, estimate=estimate, error=errors))


def _errors(controls: Controls, covariance: Float[Tensor, "6 6"]) -> Float[Tensor, "3 3"]:
    """Standard errors of M, whose row of R is −λD_c − γC_c up to the known ∂_tF."""
    found = covariance.new_zeros((3, 3))
    places = {(a, b): k for k, (a, b) in enumerate(ENTRIES)} | {(b, a): k for k, (a, b) in enumerate(ENTRIES)}
    for column in range(3):
        pair = [places[0, column], places[1, column]]
        block = covariance[pair][:, pair]
        found[0, column] = (controls[:2] @ block @ controls[:2]).clamp_min(0)
        found[1:, column] = block.diagonal().clamp_min(0)
    return found.sqrt()

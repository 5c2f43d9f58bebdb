"""Check the identities of a path: ∂F/∂λ = D, ∂F/∂γ = C, dR = −λdD − γdC, D_γ = C_λ and Hess F ⪯ 0."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr

from rdc_dyn.read import identities
from rdc_dyn.read.verify.finding import Finding
from rdc_dyn.record import VARIABLES

#: Share of ∫ |D dλ| + |C dγ| + |∂_tF dt| that fourth-order quadrature may miss on a path with sensible steps.
_QUADRATURE = 1e-2
#: Relative asymmetry of a response from linear solves.
_SOLVED = {"float64": 1e-5, "float32": 1e-2}
#: Relative rounding error of sums of losses.
_ROUNDING = {"float64": 1e-10, "float32": 1e-4}
#: Deviation in nats from what a corrector holds, a little more than it promises.
_HELD = {"float64": 1e-9, "float32": 1e-4}
_NEVER_NAN = ("lam", "gamma", "rate", "distortion", "classification_loss", "free_energy", "weight_penalty")


def points(trajectory: xr.Dataset) -> Iterator[Finding]:
    """Check the clock, the numbers and the counters of a trajectory with at least one point."""
    clock = np.diff(trajectory["time"].values)
    monotone = bool((clock > 0).all() or (clock < 0).all())
    yield Finding.of("clock", "" if monotone else "it stands still or turns round", f"monotone, {len(clock)} steps")
    wrong = [name for name in _NEVER_NAN if name in trajectory and not np.isfinite(trajectory[name].values).all()]
    yield Finding.of("numbers", f"not finite: {', '.join(wrong)}" * bool(wrong), "finite")
    counters = [name for name, v in VARIABLES.items() if "cumulative" in v.long_name and name in trajectory]
    falling = [name for name in counters if (np.diff(trajectory[name].values) < 0).any()]
    yield Finding.of("counters", f"falling: {', '.join(falling)}" * bool(falling), "cumulative")


def laws(trajectory: xr.Dataset) -> Iterator[Finding]:
    """Check the identities of the theory on a trajectory with at least one point.

    A finding is open if the run approximates what its identity is about.
    """
    plain, attributes = trajectory.reset_coords(), trajectory.attrs
    dtype = str(attributes.get("dtype", "float64"))
    total = plain.rate + plain.lam * plain.distortion + plain.gamma * plain.classification_loss + plain.weight_penalty
    size = abs(plain.free_energy) + abs(plain.lam * plain.distortion) + abs(plain.gamma * plain.classification_loss)
    yield Finding.bounded("F = R + λD + γC + Ω", ((plain.free_energy - total) / size).values, _ROUNDING[dtype])
    on = bool(identities.equilibrium_mask(trajectory).all())
    guaranteed = str(attributes.get("guarantees", "")).split()
    solved = "response" in guaranteed and not attributes.get("approximations")
    off = "" if on else "some points are not on the surface"
    approximate = off or ("" if solved else "the response is approximate")
    yield Finding.bounded("D_γ = C_λ", identities.maxwell_residual(trajectory).values, _SOLVED[dtype], approximate)
    yield _concave(trajectory, _SOLVED[dtype], approximate)
    scale = _work(plain)
    closure = identities.free_energy_closure(trajectory).values / scale
    yield Finding.bounded("∂F/∂λ = D, ∂F/∂γ = C", closure, _QUADRATURE, approximate or _jumps(trajectory))
    first = identities.first_law_residual(trajectory).values / scale
    yield Finding.bounded("dR = −λdD − γdC − dΩ + ∂_tF dt", first, _QUADRATURE, approximate or _jumps(trajectory))
    if "dissipation" in plain:
        yield _dissipation(plain, "" if "surface" in guaranteed else "no corrector returns to the surface")
    held = plain["constraint_residual"].values if "constraint_residual" in plain else np.array([np.nan])
    free = "" if "constraint" in guaranteed else "no corrector restores it to rounding"
    yield Finding.bounded("what is held", held, _HELD[dtype], free)
    if "line" in guaranteed:
        straight = np.array([identities.geodesic_straightness(trajectory)])
        yield Finding.bounded("(R, D) on a line", straight, 1e-6 if dtype == "float64" else 1e-2, free)


def _dissipation(plain: xr.Dataset, judged: str) -> Finding:
    """θ may lose free energy along the path but never gain it, beyond three standard errors."""
    error = plain["dissipation_error"].values if "dissipation_error" in plain else np.zeros(plain.sizes["time"])
    missing = np.maximum(-plain["dissipation"].values - 3 * error, 0.0)
    return Finding.bounded("dissipation ≥ 0", missing, 0.0, judged)


def _concave(trajectory: xr.Dataset, bound: float, judged: str) -> Finding:
    """Hess F ⪯ 0 where θ is a minimum, but not on a branch that is followed beyond a fold."""
    values = identities.hessian_eigenvalues(trajectory).values
    if "morse_index" in trajectory:
        values = values[~(trajectory["morse_index"].values > 0)]
    largest = np.abs(values).max(axis=-1) if len(values) else np.array([np.nan])
    above = np.maximum(values.max(axis=-1), 0.0) / np.where(largest > 0, largest, 1.0) if len(values) else largest
    return Finding.bounded("Hess F ⪯ 0", above, bound, judged)


def _work(plain: xr.Dataset) -> float:
    """∫ |D dλ| + |C dγ| + |∂_tF dt|, or the size of F if no work is done."""
    done = 0.0
    pairs = (("lam", "distortion"), ("gamma", "classification_loss"), ("data_position", "free_energy_data_derivative"))
    for control, force in pairs:
        if force in plain:
            steps, middle = np.diff(plain[control].values), plain[force].values
            done += float(np.nansum(np.abs(steps * 0.5 * (middle[1:] + middle[:-1]))))
    return done or float(np.abs(plain["free_energy"].values).max()) or 1.0


def _jumps(trajectory: xr.Dataset) -> str:
    return "the path has jumps" if "jump_theta" in trajectory and (trajectory["jump_theta"].values > 0).any() else ""

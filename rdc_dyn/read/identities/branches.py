"""Where a trajectory leaves one branch of equilibria for another, or goes round a fold."""

from itertools import pairwise

import numpy as np
import xarray as xr

from rdc_dyn.record import CONTROLS


def jumped(trajectory: xr.Dataset) -> xr.DataArray:
    """Mask of points that a jump led to (|Δθ| ≠ 0 of a relaxed fold): each is the first of another branch."""
    if "jump_theta" not in trajectory:
        like = trajectory["rate" if "rate" in trajectory else "time"]
        return xr.zeros_like(like, dtype=bool).rename("jumped")
    change = trajectory["jump_theta"]
    return (change.notnull() & (change != 0)).rename("jumped")


def branch_slices(leads: np.ndarray) -> list[slice]:
    """Slices of the points of each branch, in order; `leads` marks their first points, and point 0 always is one."""
    if not len(leads):
        return []
    edges = [0, *(int(i) for i in np.flatnonzero(leads) if i > 0), len(leads)]
    return [slice(a, b) for a, b in pairwise(edges)]


def turned(trajectory: xr.Dataset) -> np.ndarray:
    """Mask of points whose step from the point before went round a fold.

    Such a step has Δₖ·Δₖ₋₁ < 0, where Δₖ is the change of (λ, γ, t) over step k, or changes the Morse index. There the
    clock ∫|ds| of a followed branch is not a smooth parameter: λ has a kink and R a vertical tangent.
    """
    found = np.zeros(trajectory.sizes["time"], dtype=bool)
    moves = [np.diff(trajectory[name].values) for name in CONTROLS if name in trajectory]
    found[2:] = sum((move[1:] * move[:-1] for move in moves), start=np.zeros(max(len(found) - 2, 0))) < 0
    if "morse_index" in trajectory:
        change = np.diff(trajectory["morse_index"].values)
        found[1:] |= np.isfinite(change) & (change != 0)
    return found

"""Where a trajectory leaves one branch of equilibria for another, or turns round."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import xarray as xr

from rdc_dyn.output.record import CONTROLS


def jumped(trajectory: xr.Dataset) -> xr.DataArray:
    """|Δθ| ≠ 0 of a relaxed fold: the point is the first of another branch.

    Args:
        trajectory: A trajectory, or several with further dimensions.

    Returns:
        True at points that a jump led to.
    """
    if "jump_theta" not in trajectory:
        like = trajectory["rate" if "rate" in trajectory else "time"]
        return xr.zeros_like(like, dtype=bool).rename("jumped")
    change = trajectory["jump_theta"]
    return (change.notnull() & (change != 0)).rename("jumped")


def branch_slices(leads: np.ndarray) -> list[slice]:
    """The points of each branch.

    Args:
        leads: True at the first point of a branch; the first of all counts as one anyhow.

    Returns:
        Slices that cover all points in their order; none of no points.
    """
    if not len(leads):
        return []
    edges = [0, *(int(i) for i in np.flatnonzero(leads) if i > 0), len(leads)]
    return [slice(a, b) for a, b in pairwise(edges)]


def turned(trajectory: xr.Dataset) -> np.ndarray:
    """Δ(λ, γ, t)·Δ(λ, γ, t) of the step before < 0, or another Morse index: a fold lies in the step that ends here.

    There the clock ∫|ds| of a followed branch is no smooth parameter: λ has a kink and R a vertical tangent.

    Args:
        trajectory: A trajectory.

    Returns:
        True at points whose step from the point before went round a fold.
    """
    found = np.zeros(trajectory.sizes["time"], dtype=bool)
    moves = [np.diff(trajectory[name].values) for name in CONTROLS if name in trajectory]
    found[2:] = sum((move[1:] * move[:-1] for move in moves), start=np.zeros(max(len(found) - 2, 0))) < 0
    if "morse_index" in trajectory:
        change = np.diff(trajectory["morse_index"].values)
        found[1:] |= np.isfinite(change) & (change != 0)
    return found

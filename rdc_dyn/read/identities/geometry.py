"""The geometry of the curve in (R, D, C): its arclength, its curvature and its straightness in (R, D)."""

import math
from collections.abc import Callable

import numpy as np
import xarray as xr
from scipy.interpolate import make_interp_spline

from rdc_dyn.read.identities.branches import branch_slices, jumped
from rdc_dyn.record import FUNCTIONALS

#: Gauss–Legendre nodes and weights on [0, 1] for the quadrature within one step.
_NODES, _WEIGHTS = (0.5 * (np.polynomial.legendre.leggauss(5)[0] + 1), 0.5 * np.polynomial.legendre.leggauss(5)[1])


def arclength(trajectory: xr.Dataset) -> xr.DataArray:
    """∫ |d(R, D, C)| up to each point, in nat, along a spline through the points of each branch.

    A jump to another branch adds nothing, since it is not a path on the surface.
    """
    return _along(trajectory, _lengths).assign_attrs(long_name="arclength in (R, D, C)", units="nat")


def curvature(trajectory: xr.Dataset) -> xr.DataArray:
    """|P' × P''| / |P'|³ of P = (R, D, C), in 1/nat: 0 on a straight line and 1/r on a circle of radius r.

    The formula holds in any parameter; here P is a spline in chord length, of fifth degree or less where a branch has
    fewer than six distinct points. With fewer than three, the curvature is NaN.
    """
    return _along(trajectory, _curvatures).assign_attrs(long_name="curvature in (R, D, C)", units="nat-1")


def geodesic_straightness(trajectory: xr.Dataset) -> float:
    """Largest distance of (R, D) from the chord between its ends, over the chord's length; zero on a straight line.

    NaN for fewer than two points, or where the ends coincide.
    """
    points = np.stack([trajectory.rate.values, trajectory.distortion.values], axis=1)
    if len(points) < 2:
        return math.nan
    chord = points[-1] - points[0]
    length = float(np.hypot(*chord))
    if length == 0:
        return math.nan
    offset = points - points[0]
    return float(np.abs(offset[:, 0] * chord[1] - offset[:, 1] * chord[0]).max() / length**2)


def _along(trajectory: xr.Dataset, of_branches: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> xr.DataArray:
    """Apply a function of points (time, 3) and branch starts (time,), over any further dimensions."""
    points = xr.concat([trajectory[name].reset_coords(drop=True) for name in FUNCTIONALS], dim="component")
    applied: xr.DataArray = xr.apply_ufunc(
        of_branches,
        points.chunk({"time": -1, "component": -1}) if points.chunks else points,
        jumped(trajectory).reset_coords(drop=True),
        input_core_dims=[["time", "component"], ["time"]],
        output_core_dims=[["time"]],
        vectorize=True,
        dask="parallelized",
        output_dtypes=[np.float64],
    )
    return applied


def _spline(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, Callable[..., np.ndarray] | None]:
    """The chord length up to each point, the mask of points that moved, and the spline through those.

    The spline is None for fewer than two distinct points, or where a point is not finite.
    """
    chords = np.linalg.norm(np.diff(points, axis=0), axis=1)
    places = np.concatenate([[0.0], np.cumsum(chords)])
    moved = np.concatenate([[True], np.diff(places) > 0])
    count = int(moved.sum())
    if count < 2 or not np.isfinite(points).all():
        return places, moved, None
    degree = {2: 1, 3: 2, 4: 3, 5: 3}.get(count, 5)
    return places, moved, make_interp_spline(places[moved], points[moved], k=degree)


def _lengths(points: np.ndarray, leads: np.ndarray) -> np.ndarray:
    steps = np.zeros(len(points))
    for branch in branch_slices(leads):
        places, _, curve = _spline(points[branch])
        if curve is None:
            steps[branch] = np.where(np.isfinite(places), 0.0, np.nan)
            continue
        widths = np.diff(places)
        speeds = np.linalg.norm(curve(places[:-1, None] + widths[:, None] * _NODES, 1), axis=-1)
        steps[branch.start + 1 : branch.stop] = widths * (speeds @ _WEIGHTS)
    return np.cumsum(steps)


def _curvatures(points: np.ndarray, leads: np.ndarray) -> np.ndarray:
    out = np.full(len(points), np.nan)
    for branch in branch_slices(leads):
        places, moved, curve = _spline(points[branch])
        if curve is None or moved.sum() < 3:
            continue
        first, second = curve(places, 1), curve(places, 2)
        area = np.linalg.norm(np.cross(first, second), axis=1)
        out[branch] = area / np.linalg.norm(first, axis=1) ** 3
    return out

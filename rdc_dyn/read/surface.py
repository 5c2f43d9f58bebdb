"""A run over a grid of (λ, γ) as a surface: one Dataset with the dimensions lam and gamma."""

import numpy as np
import xarray as xr

from rdc_dyn.status import UserError


def surface(trajectory: xr.Dataset) -> xr.Dataset:
    """Arrange a run of the process `grid` over (λ, γ), its nodes alone.

    Args:
        trajectory: A run over a grid, as `rdc_dyn.open_run` returns it; it may have ended early.

    Returns:
        Every variable with the dimensions `lam` and `gamma` in place of `time`, in ascending order, NaN at nodes that
        were not reached; `visited` tells the order of visits.

    Raises:
        UserError: If the points of the run do not form a grid.
    """
    found = grid_of(trajectory, rows=1)
    if found is None:
        raise UserError("surface: the points of this run form no grid of lam and gamma; expected process.kind: grid")
    return found


def grid_of(trajectory: xr.Dataset, rows: int = 2) -> xr.Dataset | None:
    """The surface, or None where the points at whole times form no grid, or one of fewer rows or columns."""
    nodes = trajectory.isel(time=np.flatnonzero(trajectory.time.values == np.round(trajectory.time.values)))
    shape = tuple(len(np.unique(nodes[name].values)) for name in ("lam", "gamma"))
    count = len(set(zip(nodes.lam.values.tolist(), nodes.gamma.values.tolist())))
    # All rows but the last one are complete.
    complete = count > min((shape[0] - 1) * shape[1], shape[0] * (shape[1] - 1))
    if count != nodes.sizes["time"] or count < 2 or min(shape) < rows or not complete:
        return None
    nodes = nodes.assign(visited=("time", nodes.time.values)).drop_vars("time").set_xindex(["lam", "gamma"])
    found = nodes.unstack("time")
    found["visited"].attrs = {"long_name": "order in which the nodes were visited", "units": "1"}
    for name in ("lam", "gamma"):
        found[name].attrs = dict(trajectory[name].attrs)
    return found


def concavity_gap(grid: xr.Dataset) -> xr.DataArray:
    """Nats by which the parameters of another node beat those of each node: zero where F is concave.

    F is a minimum of functions that are linear in (λ, γ), so at a node q it is at most F_p + D_p Δλ + C_p Δγ for every
    other node p. Where it is more, the equilibrium found at q is not the lowest one.

    Args:
        grid: A surface, as `surface` returns it.

    Returns:
        max_p (F_q − F_p − D_p Δλ − C_p Δγ), at least 0, with the dimensions `lam` and `gamma`.
    """
    other = grid[["free_energy", "distortion", "classification_loss"]].rename(lam="lam_p", gamma="gamma_p")
    plane = other.free_energy + other.distortion * (grid.lam - other.lam_p)
    plane = plane + other.classification_loss * (grid.gamma - other.gamma_p)
    gap: xr.DataArray = (grid.free_energy - plane).max(("lam_p", "gamma_p")).clip(min=0.0).transpose("lam", "gamma")
    return gap.where(grid.free_energy.notnull()).assign_attrs(long_name="free energy above concavity", units="nat")

"""Identities that every equilibrium path obeys, evaluated on a saved trajectory (xarray only)."""

from __future__ import annotations

import numpy as np
import xarray as xr

from rdc_dyn.output.record import CONTROLS


def drift(trajectory: xr.Dataset, functional: str = "classification_loss") -> xr.DataArray:
    """h(s) − h(0) of a functional, in its own units: zero for the one that the process holds.

    Args:
        trajectory: A trajectory.
        functional: Name of a variable.

    Returns:
        The drift along `time`.
    """
    value = trajectory[functional]
    out = value - value.isel(time=0, drop=True)
    return out.assign_attrs(long_name=f"drift of the {functional}", units=value.attrs.get("units", "1"))


def maxwell_residual(trajectory: xr.Dataset) -> xr.DataArray:
    """|D_γ − C_λ| / √(D_λ C_γ): the Hessian of F is symmetric.

    The scale is the largest value that D_γ can have where F is concave; D_γ itself may pass through zero.

    Args:
        trajectory: A trajectory.

    Returns:
        The relative residual along `time`.
    """
    d_gamma = trajectory.response.sel(functional="distortion", control="gamma", drop=True)
    c_lam = trajectory.response.sel(functional="classification_loss", control="lam", drop=True)
    d_lam = trajectory.response.sel(functional="distortion", control="lam", drop=True)
    c_gamma = trajectory.response.sel(functional="classification_loss", control="gamma", drop=True)
    return (abs(d_gamma - c_lam) / np.sqrt(abs(d_lam * c_gamma))).assign_attrs(
        long_name="relative Maxwell residual D_gamma - C_lam", units="1"
    )


def hessian_eigenvalues(trajectory: xr.Dataset) -> xr.DataArray:
    """Eigenvalues of ∂²F/∂(λ, γ)², ascending: none is positive, since F is concave.

    Args:
        trajectory: A trajectory.

    Returns:
        Eigenvalues with dimensions (time, eigenvalue), nat.
    """
    block = trajectory.response.sel(functional=["distortion", "classification_loss"], control=["lam", "gamma"])
    matrices = block.transpose("time", "functional", "control").values
    values = np.linalg.eigvalsh(0.5 * (matrices + matrices.swapaxes(1, 2)))
    attrs = {"long_name": "eigenvalues of the Hessian of the free energy", "units": "nat"}
    return xr.DataArray(values, {"time": trajectory.time}, ("time", "eigenvalue"), attrs=attrs)


def first_law_residual(trajectory: xr.Dataset) -> xr.DataArray:
    """ΔR + ΔΩ + ∫ λ dD + γ dC − ∂_tF dt over each step: the first law dR = −λ dD − γ dC − dΩ + ∂_tF dt (7).

    Ω is the weight penalty, the paper's S term with a Gaussian prior. The integral is a Hermite quadrature, of fourth
    order in the step, with the derivatives that the response matrix gives; at equilibrium what is left is its error.

    Args:
        trajectory: A trajectory.

    Returns:
        The residual of the step that ends at each time, nat; zero at the first.
    """
    multipliers = np.stack([trajectory.lam.values, trajectory.gamma.values])
    losses = np.stack([trajectory.distortion.values, trajectory.classification_loss.values])
    stored = np.diff(trajectory.rate.values + trajectory.weight_penalty.values)
    # ∫ λ dD = [λD] − ∫ D dλ, and the Hermite rule for the last is exact to the same order.
    work = np.diff((multipliers * losses).sum(0)) - _work(trajectory)
    residual = np.concatenate([[0.0], stored + work]) if trajectory.time.size else np.zeros(0)
    attrs = {"long_name": "first-law residual of a step", "units": "nat"}
    return xr.DataArray(residual, {"time": trajectory.time}, ("time",), attrs=attrs)


def free_energy_closure(trajectory: xr.Dataset) -> xr.DataArray:
    """F(s) − F(0) − ∫ D dλ + C dγ + ∂_tF dt: the free energy against the work along the path.

    Args:
        trajectory: A trajectory.

    Returns:
        The difference along `time`, nat.
    """
    free_energy = trajectory.free_energy.values
    done = np.concatenate([[0.0], np.cumsum(_work(trajectory))]) if trajectory.time.size else np.zeros(0)
    attrs = {"long_name": "free energy minus the work along the path", "units": "nat"}
    return xr.DataArray(free_energy - free_energy[:1] - done, {"time": trajectory.time}, ("time",), attrs=attrs)


def geodesic_straightness(trajectory: xr.Dataset) -> float:
    """Largest distance of (R, D) from the chord between its ends, over the chord's length; zero on a straight line.

    Args:
        trajectory: A trajectory of at least two points.

    Returns:
        The ratio.
    """
    points = np.stack([trajectory.rate.values, trajectory.distortion.values], axis=1)
    chord = points[-1] - points[0]
    offset = points - points[0]
    distance = np.abs(offset[:, 0] * chord[1] - offset[:, 1] * chord[0]) / np.hypot(*chord)
    return float(distance.max() / np.hypot(*chord))


def _work(trajectory: xr.Dataset) -> np.ndarray:
    """∫ D dλ + C dγ + ∂_tF dt over each step, along the straight line in (λ, γ, t): as good as any, since F exists.

    With f = ∇F·Δ and f' = Δᵀ Hess F Δ at both ends: ∫ f = (f₀ + f₁)/2 + (f₀' − f₁')/12, an error of fifth order in one
    step.

    Args:
        trajectory: A trajectory.

    Returns:
        The work of each step, one fewer than there are points.
    """
    moves = "free_energy_data_derivative" in trajectory
    names, columns = ["distortion", "classification_loss"], list(CONTROLS[:2])
    response = trajectory.response.sel(functional=names).transpose("time", "functional", "control")
    hessian = response.sel(control=columns).values
    if moves:
        names, columns = [*names, "free_energy_data_derivative"], list(CONTROLS)
        mixed = response.sel(control="data_position").values
        curvature = trajectory.free_energy_data_curvature.values
        last = np.concatenate([mixed, curvature[:, None]], axis=1)
        hessian = np.concatenate([np.concatenate([hessian, mixed[:, :, None]], axis=2), last[:, None, :]], axis=1)
    move = np.stack([np.diff(trajectory[name].values) for name in columns], axis=1)
    force = np.stack([trajectory[name].values for name in names], axis=1)
    start, end = (force[:-1] * move).sum(1), (force[1:] * move).sum(1)
    slope_start = np.einsum("ti,tij,tj->t", move, hessian[:-1], move)
    slope_end = np.einsum("ti,tij,tj->t", move, hessian[1:], move)
    return 0.5 * (start + end) + (slope_start - slope_end) / 12

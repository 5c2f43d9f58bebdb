"""The Hessian of F: symmetric (Maxwell), and negative semidefinite, since F is concave in (λ, γ)."""

from __future__ import annotations

import numpy as np
import xarray as xr


def _entries(trajectory: xr.Dataset) -> tuple[xr.DataArray, xr.DataArray, xr.DataArray, xr.DataArray]:
    """D_λ, D_γ, C_λ and C_γ, from the response matrix."""

    def entry(functional: str, control: str) -> xr.DataArray:
        return trajectory["response"].sel(functional=functional, control=control, drop=True)

    distortion, loss = "distortion", "classification_loss"
    return entry(distortion, "lam"), entry(distortion, "gamma"), entry(loss, "lam"), entry(loss, "gamma")


def maxwell_residual(trajectory: xr.Dataset) -> xr.DataArray:
    """|D_γ − C_λ| / √(D_λ C_γ), which vanishes because the Hessian of F is symmetric.

    The scale is the largest value that D_γ can have where F is concave; D_γ itself may pass through zero.
    """
    d_lam, d_gamma, c_lam, c_gamma = _entries(trajectory)
    return (abs(d_gamma - c_lam) / np.sqrt(abs(d_lam * c_gamma))).assign_attrs(
        long_name="relative Maxwell residual D_gamma - C_lam", units="1"
    )


def hessian_eigenvalues(trajectory: xr.Dataset) -> xr.DataArray:
    """(D_λ + C_γ)/2 ± √(((D_λ − C_γ)/2)² + ((D_γ + C_λ)/2)²): none is positive, since F is concave.

    These are the eigenvalues of ∂²F/∂(λ, γ)² in nat, ascending along the last dimension `eigenvalue`.
    """
    d_lam, d_gamma, c_lam, c_gamma = (each.reset_coords(drop=True) for each in _entries(trajectory))
    middle, half = 0.5 * (d_lam + c_gamma), np.hypot(0.5 * (d_lam - c_gamma), 0.5 * (d_gamma + c_lam))
    values = xr.concat([middle - half, middle + half], dim="eigenvalue").transpose(..., "eigenvalue")
    return values.rename(None).assign_attrs(long_name="eigenvalues of the Hessian of the free energy", units="nat")

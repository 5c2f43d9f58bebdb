"""The first law, the free energy as a potential, and its Hessian: what a path of equilibria must obey."""

import numpy as np
import xarray as xr

#: Each control and its conjugate variable, ∂F/∂(control).
_FORCES = {"lam": "distortion", "gamma": "classification_loss", "data_position": "free_energy_data_derivative"}


def first_law_residual(trajectory: xr.Dataset) -> xr.DataArray:
    """ΔR + ΔΩ + ∫ λ dD + γ dC − ∂_tF dt over each step: the first law dR = −λ dD − γ dC − dΩ + ∂_tF dt (7).

    Ω is the weight penalty, the paper's S term with a Gaussian prior. The integral is a Hermite quadrature of fourth
    order in the step, with derivatives from the response matrix; at equilibrium the residual is its error. Values are
    in nat, at the time where each step ends, and zero at the first.
    """
    plain = trajectory.reset_coords()
    # ∫ λ dD = [λD] − ∫ D dλ, and the Hermite rule for ∫ D dλ is of the same order.
    stored = plain.rate + plain.weight_penalty + plain.lam * plain.distortion + plain.gamma * plain.classification_loss
    return _from_the_start(stored.diff("time") - _work(plain), stored).assign_attrs(
        long_name="first-law residual of a step", units="nat"
    )


def free_energy_closure(trajectory: xr.Dataset) -> xr.DataArray:
    """F(s) − F(0) − ∫ D dλ + C dγ + ∂_tF dt, in nat: the free energy against the work along the path."""
    plain = trajectory.reset_coords()
    value = plain["free_energy"]
    done = _from_the_start(_work(plain).cumsum("time", skipna=False), value)
    start = value.isel(time=0, drop=True) if value.sizes["time"] else 0.0
    return (value - start - done).rename(None).assign_attrs(
        long_name="free energy minus the work along the path", units="nat"
    )  # fmt: skip


def _from_the_start(steps: xr.DataArray, like: xr.DataArray) -> xr.DataArray:
    """Extend one value per step to one per point: zero at the first point, where no step ends."""
    first = xr.zeros_like(like.isel(time=slice(0, 1)))
    joined = xr.concat([first, steps], dim="time") if steps.sizes["time"] else first
    return joined.transpose(*like.dims).rename(None)


def _work(plain: xr.Dataset) -> xr.DataArray:
    """∫ D dλ + C dγ + ∂_tF dt over each step, along a straight line in (λ, γ, t): F exists, so any path will do.

    With f = ∇F·Δ and f' = Δᵀ Hess F Δ at both ends, ∫ f = (f₀ + f₁)/2 + (f₀' − f₁')/12, an error of fifth order per
    step. `plain` is a trajectory after `reset_coords`; the work of a step is at the time of its end.
    """
    controls = [name for name, force in _FORCES.items() if force in plain]
    move = {name: plain[name].diff("time") for name in controls}
    work = xr.zeros_like(move["lam"])
    for row in controls:
        work = work + 0.5 * (_begin(plain[_FORCES[row]]) + _end(plain[_FORCES[row]])) * move[row]
        for column in controls:
            second = _second_derivative(plain, row, column)
            work = work + (_begin(second) - _end(second)) * move[row] * move[column] / 12
    return work.rename(None)


def _second_derivative(plain: xr.Dataset, row: str, column: str) -> xr.DataArray:
    """An entry of Hess F; those that mix t with a multiplier are in M, whose last column is d(R, D, C)/dt."""
    if row == column == "data_position":
        return plain["free_energy_data_curvature"]
    if row == "data_position":
        row, column = column, row
    return plain["response"].sel(functional=_FORCES[row], control=column, drop=True)


def _begin(value: xr.DataArray) -> xr.DataArray:
    """The value at the beginning of each step, labelled by the step's end."""
    return _end(value.shift(time=1))


def _end(value: xr.DataArray) -> xr.DataArray:
    return value.isel(time=slice(1, None))


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

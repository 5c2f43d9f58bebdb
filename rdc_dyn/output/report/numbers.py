"""The numbers that a report gives about a trajectory."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import xarray as xr

from rdc_dyn.output.identities import first_law_residual, free_energy_closure, maxwell_residual

#: Attributes that a report shows elsewhere, or not at all.
_ELSEWHERE = {"scenario", "events", "title", "Conventions", "references", "status", "status_message", "status_detail"}
#: The cost of a Hessian-vector product, in gradients.
PRODUCT = 0.8


def gradient_equivalents(trajectory: xr.Dataset) -> float:
    """The total cost in gradients, with 0.8 for each Hessian-vector product; NaN without a point."""
    return last(trajectory, "gradient_evaluations") + PRODUCT * last(trajectory, "hessian_vector_products")


def last(trajectory: xr.Dataset, name: str) -> float:
    """The last value of a variable; NaN without a point."""
    return float(trajectory[name].values[-1]) if trajectory.sizes["time"] else math.nan


def residuals(trajectory: xr.Dataset) -> dict[str, tuple[xr.DataArray, str]]:
    """Every residual by its name in words: its magnitudes along `time`, and its unit."""
    return {
        "equilibrium |∇J|": (abs(trajectory.equilibrium_residual), "nat"),
        "held functional |h − h₀|": (abs(trajectory.constraint_residual), "nat"),
        "linear solves |b − Au| / |b|": (abs(trajectory.krylov_residual), "1"),
        "Maxwell |D_γ − C_λ| / √(D_λ C_γ)": (maxwell_residual(trajectory), "1"),
        "first law of a step": (abs(first_law_residual(trajectory)), "nat"),
        "closure of F against the work": (abs(free_energy_closure(trajectory)), "nat"),
    }


def worst(trajectory: xr.Dataset) -> list[tuple[str, float, float, str]]:
    """Name, largest value, time of that value and unit of each residual that the run has."""
    rows = []
    for name, (residual, unit) in residuals(trajectory).items():
        values = residual.values
        if np.isfinite(values).any():
            place = int(np.nanargmax(values))
            rows.append((name, float(values[place]), float(trajectory.time.values[place]), unit))
    return rows


def largest(residual: xr.DataArray) -> float:
    """The largest value; NaN where none is finite."""
    values = residual.values
    return float(np.nanmax(values)) if np.isfinite(values).any() else math.nan


def provenance_rows(attributes: Mapping[str, object]) -> list[tuple[str, str]]:
    """Names and values of the attributes that say where a trajectory comes from."""
    return [(str(name), str(value)) for name, value in attributes.items() if name not in _ELSEWHERE]

"""What a report tells of a trajectory in numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import xarray as xr

from rdc_dyn.output.identities import first_law_residual, free_energy_closure, maxwell_residual

#: Attributes that a report shows elsewhere, or not at all.
_ELSEWHERE = {"scenario", "events", "title", "Conventions", "references", "status", "status_message", "status_detail"}
#: A Hessian-vector product costs this share of a gradient.
PRODUCT = 0.8


def gradient_equivalents(trajectory: xr.Dataset) -> float:
    """Gradients + 0.8 products.

    Args:
        trajectory: A trajectory.

    Returns:
        The cost up to its last point; NaN without a point.
    """
    return last(trajectory, "gradient_evaluations") + PRODUCT * last(trajectory, "hessian_vector_products")


def last(trajectory: xr.Dataset, name: str) -> float:
    """The last value of a variable; NaN without a point.

    Args:
        trajectory: A trajectory.
        name: Name of the variable.

    Returns:
        The value.
    """
    return float(trajectory[name].values[-1]) if trajectory.sizes["time"] else math.nan


def residuals(trajectory: xr.Dataset) -> dict[str, tuple[xr.DataArray, str]]:
    """Every residual, by its name in words, with its unit.

    Args:
        trajectory: A trajectory.

    Returns:
        Magnitudes along `time`.
    """
    return {
        "equilibrium |∇J|": (abs(trajectory.equilibrium_residual), "nat"),
        "held functional |h − h₀|": (abs(trajectory.constraint_residual), "nat"),
        "linear solves |b − Au| / |b|": (abs(trajectory.krylov_residual), "1"),
        "Maxwell |D_γ − C_λ| / √(D_λ C_γ)": (maxwell_residual(trajectory), "1"),
        "first law of a step": (abs(first_law_residual(trajectory)), "nat"),
        "closure of F against the work": (abs(free_energy_closure(trajectory)), "nat"),
    }


def worst(trajectory: xr.Dataset) -> list[tuple[str, float, float, str]]:
    """The largest value of each residual that the run has.

    Args:
        trajectory: A trajectory.

    Returns:
        Name, largest value, the clock at which it is, unit.
    """
    rows = []
    for name, (residual, unit) in residuals(trajectory).items():
        values = residual.values
        if np.isfinite(values).any():
            place = int(np.nanargmax(values))
            rows.append((name, float(values[place]), float(trajectory.time.values[place]), unit))
    return rows


def largest(residual: xr.DataArray) -> float:
    """The largest value; NaN where there is none.

    Args:
        residual: Magnitudes.

    Returns:
        The value.
    """
    values = residual.values
    return float(np.nanmax(values)) if np.isfinite(values).any() else math.nan


def provenance_rows(attributes: Mapping[str, object]) -> list[tuple[str, str]]:
    """Names and values of the attributes that tell where a trajectory comes from.

    Args:
        attributes: Those of a trajectory.

    Returns:
        Rows of a table, all text.
    """
    return [(str(name), str(value)) for name, value in attributes.items() if name not in _ELSEWHERE]

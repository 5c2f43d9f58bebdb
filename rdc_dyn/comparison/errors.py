"""Errors of a run, none of which needs θ: max |Δ(λ, γ)|, max |Δ(R, D, C)|, held value, free-energy closure and |∇J|."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import xarray as xr

from rdc_dyn.comparison.reference import Reference, table_of
from rdc_dyn.comparison.runs import Run
from rdc_dyn.read.identities import free_energy_closure
from rdc_dyn.record import GRADIENTS_PER_PRODUCT

QUANTITIES = ("error_multipliers", "error_losses", "error_held", "error_closure")
_COUNTERS = ("gradient_evaluations", "hessian_vector_products", "wall_time")


@dataclass(frozen=True)
class Errors:
    """Errors and cost of a run.

    Attributes:
        values: An error for each of `QUANTITIES`; NaN where it has no meaning.
        equilibrium_residual: Largest |∇J| along the path.
        gradient_equivalents: Gradient evaluations plus 0.8 per Hessian-vector product.
        wall_time: In seconds.
        start: Error in (R, D, C) at the first point, which is that of the start alone.
    """

    values: dict[str, float]
    equilibrium_residual: float
    gradient_equivalents: float
    wall_time: float
    start: float


def errors(run: Run, reference: Reference) -> Errors:
    """Measure a run against its reference; a run that is its own reference has NaN for multipliers and losses."""
    trajectory = run.trajectory
    assert trajectory is not None
    multipliers = losses = start = math.nan
    if run.name != reference.name:
        mask, values = reference.at(trajectory.time.values)
        gap = table_of(trajectory)[mask] - values
        multipliers = _largest(np.linalg.norm(gap[:, :2], axis=1))
        distance = np.linalg.norm(gap[:, 2:], axis=1)
        losses = _largest(distance)
        start = float(distance[0]) if mask[0] else math.nan
    # The cost of finding the start is the same for all runs and says nothing about the path.
    spent = {name: float(trajectory[name][-1] - trajectory[name][0]) for name in _COUNTERS}
    cost = spent["gradient_evaluations"] + GRADIENTS_PER_PRODUCT * spent["hessian_vector_products"]
    found = {
        "error_multipliers": multipliers,
        "error_losses": losses,
        "error_held": _largest(np.abs(trajectory.constraint_residual.values)),
        "error_closure": _closure(trajectory),
    }
    residual = _largest(trajectory.equilibrium_residual.values)
    return Errors(found, residual, cost, spent["wall_time"], start)


def _closure(trajectory: xr.Dataset) -> float:
    """Largest free-energy closure; NaN for a single point, which closes nothing."""
    return _largest(np.abs(free_energy_closure(trajectory).values)) if trajectory.sizes["time"] > 1 else math.nan


def _largest(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.max()) if finite.size else math.nan

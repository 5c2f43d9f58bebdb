"""max |Δ(λ, γ)|, max |Δ(R, D, C)|, held, closure, |∇J|: how far a run is from where it should be, without any θ."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import xarray as xr

from rdc_dyn.comparison.reference import Reference, table_of
from rdc_dyn.comparison.runs import Run
from rdc_dyn.output.identities import free_energy_closure

QUANTITIES = ("error_multipliers", "error_losses", "error_held", "error_closure")
#: What a Hessian-vector product costs, in gradients.
_PRODUCT = 0.8
_COUNTERS = ("gradient_evaluations", "hessian_vector_products", "wall_time")


@dataclass(frozen=True)
class Errors:
    """What a run is worth and what it cost.

    Attributes:
        values: One for each of `QUANTITIES`; NaN where it has no meaning.
        equilibrium_residual: Largest |∇J|.
        gradient_equivalents: Gradients, and 0.8 for each product.
        wall_time: Seconds.
        start: Error in (R, D, C) at the first point: the start's own.
    """

    values: dict[str, float]
    equilibrium_residual: float
    gradient_equivalents: float
    wall_time: float
    start: float


def errors(run: Run, reference: Reference) -> Errors:
    """Measure a run.

    Args:
        run: With a trajectory.
        reference: Of its problem; a run that is its own reference has no error in multipliers and losses.

    Returns:
        The errors.
    """
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
    # What it took to find the start is the same for all and says nothing about the path.
    spent = {name: float(trajectory[name][-1] - trajectory[name][0]) for name in _COUNTERS}
    cost = spent["gradient_evaluations"] + _PRODUCT * spent["hessian_vector_products"]
    found = {
        "error_multipliers": multipliers,
        "error_losses": losses,
        "error_held": _largest(np.abs(trajectory.constraint_residual.values)),
        "error_closure": _closure(trajectory),
    }
    residual = _largest(trajectory.equilibrium_residual.values)
    return Errors(found, residual, cost, spent["wall_time"], start)


def _closure(trajectory: xr.Dataset) -> float:
    """Largest free-energy closure; a single point closes nothing."""
    return _largest(np.abs(free_energy_closure(trajectory).values)) if trajectory.sizes["time"] > 1 else math.nan


def _largest(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.max()) if finite.size else math.nan

"""Errors of a run, none of which needs θ, floors below which smaller steps do not reduce them, and observed orders."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from rdc_dyn.comparison.reference import COMPARED, Reference, table_of
from rdc_dyn.comparison.runs import Run
from rdc_dyn.read.identities import free_energy_closure
from rdc_dyn.record import GRADIENTS_PER_PRODUCT
from rdc_dyn.scenario import Scenario

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


#: An error below this multiple of its floor counts as being at the floor, which is more than a third of it.
MARGIN = 3.0
#: A finer point improves on a coarser one only if the error falls with more than this order (for rtol: power).
FLAT = {"step_size": 0.5, "rtol": 0.1}
RULE = (
    "a point is at its floor where its error is below 3 x the largest of: rounding, 10 eps |value|; linear solver, "
    "rtol |change along the path|; corrector, max|grad J| sqrt(|M|/smallest eigenvalue of A), and its tolerance where "
    "it restores h, which is held; start, its error in (R, D, C); the reference's own error; an error of h is one of "
    "(lam, gamma) over |grad h|, and by M one of (R, D, C); "
    "or where, from some step size on, no finer run of the series improves on it with an order of 0.5 (for "
    "tolerances: a power of 0.1), or it is below 3 x the median of those"
)


@dataclass(frozen=True)
class Floor:
    """A lower bound of an error, and where it comes from."""

    size: float
    reason: str


def floors(run: Run, found: Errors, reference: Reference) -> dict[str, Floor]:
    """The largest known floor of each error of a run, from what its trajectory and its scenario tell."""
    trajectory, scenario = run.trajectory, run.scenario
    assert trajectory is not None and scenario is not None
    table = np.stack([trajectory[name].values for name in COMPARED], axis=1)
    epsilon = float(np.finfo(scenario.dtype).eps)
    change = np.abs(np.diff(table, axis=0)).sum(0) if len(table) > 1 else np.zeros(5)
    solver, why = _solver(scenario, epsilon)
    corrected = _corrected(trajectory) if scenario.corrector.has_floor else 0.0
    restored = 0.0 if scenario.process.prescribes else scenario.corrector.holds_to
    steepness, response = (0.0, 0.0) if scenario.process.prescribes else _sensitivity(scenario, trajectory)
    losses = [
        Floor(10 * epsilon * float(np.abs(table[:, 2:]).max()), "rounding"),
        Floor(solver * float(np.linalg.norm(change[2:])), why),
        Floor(max(corrected, restored * response), "the corrector's tolerance"),
        Floor(_number(found.start), "the start's own error"),
    ]
    multipliers = [
        Floor(10 * epsilon * float(np.abs(table[:, :2]).max()), "rounding"),
        Floor(solver * float(np.linalg.norm(change[:2])), why),
        *(Floor(floor.size / steepness, floor.reason) for floor in losses if steepness and floor.reason != why),
    ]
    if scenario.process.prescribes:
        multipliers = [Floor(multipliers[0].size, "rounding, for the scenario prescribes them")]
    own = [Floor(_number(error), "the reference's own error") for error in reference.own_error]
    energy = 10 * epsilon * float(np.abs(trajectory.free_energy.values).max())
    work = float(np.linalg.norm(change[:2]))
    return {
        "error_multipliers": _highest([*multipliers, own[0]]),
        "error_losses": _highest([*losses, own[1]]),
        "error_held": _highest([*losses[:3], Floor(restored, "the corrector's tolerance")]),
        # Closure compares F with the work along the run's own path; being elsewhere on the surface does not open it.
        "error_closure": _highest(
            [Floor(energy, "rounding"), Floor(losses[1].size * work, why), Floor(corrected * work, losses[2].reason)]
        ),
    }


def _highest(candidates: Sequence[Floor]) -> Floor:
    return max(candidates, key=lambda floor: floor.size)


def _number(value: float) -> float:
    return value if math.isfinite(value) else 0.0


def _solver(scenario: Scenario, epsilon: float) -> tuple[float, str]:
    """Relative error of a response, and where it comes from."""
    rtol = scenario.response.solver.accuracy
    if rtol is None or not scenario.response.exact:
        return 100 * epsilon, "rounding of the linear solves"
    return rtol, f"the linear solver's rtol = {rtol:g}"


def _corrected(trajectory: xr.Dataset) -> float:
    """Bound of the corrector's error, |δ(D, C)| ≤ |∇J| √(|M|/λ_min), as |θ_c|² = b·A⁻²b ≤ b·A⁻¹b/λ_min ≤ |M|/λ_min."""
    residual = float(np.nanmax(trajectory.equilibrium_residual.values))
    eigenvalues = trajectory.smallest_eigenvalue.values if "smallest_eigenvalue" in trajectory else np.zeros(0)
    smallest = eigenvalues[np.isfinite(eigenvalues) & (eigenvalues > 0)].min(initial=1.0)
    matrix = np.nan_to_num(trajectory.response.transpose("time", ...).values)
    return residual * math.sqrt(float(np.linalg.norm(matrix, axis=(1, 2)).max()) / float(smallest))


def _sensitivity(scenario: Scenario, trajectory: xr.Dataset) -> tuple[float, float]:
    """min |∇h| in (λ, γ) and max |d(R, D, C)/dh| along ∇h; zeros if ∇h vanishes."""
    matrix = trajectory.response.sel(control=["lam", "gamma"]).transpose("time", "functional", "control").values
    gradient = np.einsum("f,tfc->tc", scenario.process.weights, matrix)
    size = np.linalg.norm(gradient, axis=1)
    if not (size > 0).all():
        return 0.0, 0.0
    moved = np.linalg.norm(np.einsum("tfc,tc->tf", matrix, gradient), axis=1) / size**2
    return float(size.min()), float(moved.max())


def stagnated(resolution: np.ndarray, error: np.ndarray, kind: str) -> np.ndarray:
    """Mask of the points from which on refinement no longer reduces the error; `kind` is step_size or rtol."""
    order = np.argsort(-resolution)
    h, e = resolution[order], np.maximum(error[order], np.finfo(float).tiny)
    first = e.size - 1
    while first > 0 and e[first - 1] <= e[first] * (h[first - 1] / h[first]) ** FLAT[kind]:
        first -= 1
    mask = np.zeros(e.size, dtype=bool)
    if first < e.size - 1:
        mask[order] = (np.arange(e.size) >= first) | (e <= MARGIN * np.median(e[first:]))
    return mask


@dataclass(frozen=True)
class Order:
    """An observed order with its 95 % confidence interval.

    Attributes:
        value: The order p; NaN from fewer than two points.
        low: Lower end of the interval; NaN from fewer than three points.
        high: Upper end of the interval; likewise.
        points: Number of points in the fit.
    """

    value: float
    low: float
    high: float
    points: int


def observed_order(resolution: np.ndarray, error: np.ndarray) -> Order:
    """Least squares of ln error on ln resolution; points without a positive finite error are left out."""
    use = np.isfinite(error) & (error > 0) & np.isfinite(resolution)
    x, y = np.log(resolution[use]), np.log(error[use])
    count = int(use.sum())
    if np.unique(x).size < 2:
        return Order(math.nan, math.nan, math.nan, count)
    from scipy.stats import linregress, t

    fit = linregress(x, y)
    half = float(t.ppf(0.975, count - 2) * fit.stderr) if count > 2 else math.nan
    return Order(float(fit.slope), float(fit.slope) - half, float(fit.slope) + half, count)

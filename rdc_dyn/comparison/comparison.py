"""Collect errors, floors, costs and observed orders of many runs in one `xarray.Dataset`."""

import math
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import xarray as xr

from rdc_dyn.comparison.errors import MARGIN, QUANTITIES, RULE, Errors, errors, floors, observed_order, stagnated
from rdc_dyn.comparison.reference import CLOSED_FORM, FINEST, Reference, choose, has_closed_form
from rdc_dyn.comparison.runs import Run, difference, problem_groups, read_runs, resolution_key, series_names, swept_keys
from rdc_dyn.status import DataError, UserError
from rdc_dyn.store.provenance import program_version
from rdc_dyn.store.sweep_directory import LACKING, coordinate, coordinate_names

_TEXT = {
    "error_multipliers": ("largest distance of (lam, gamma) from the reference along the path", "1"),
    "error_losses": ("largest distance of (R, D, C) from the reference along the path", "nat"),
    "error_held": ("largest deviation of what the process holds", "nat"),
    "error_closure": ("largest free-energy closure", "nat"),
    "reference_error": ("known error of the reference itself: of (lam, gamma) and, in nat, of (R, D, C)", "mixed"),
    "equilibrium_residual": ("largest |grad J| along the path", "nat"),
    "gradient_equivalents": ("gradient evaluations + 0.8 Hessian-vector products of the path", "1"),
    "wall_time": ("wall time of the path", "s"),
}


@dataclass(frozen=True)
class Row:
    """One run of the comparison.

    Attributes:
        kind: step_size or rtol.
        resolution: The run's step size or rtol; NaN if unknown.
        errors: None if there is nothing to measure.
        reference: Name of the reference; empty if there is none.
        floor: Why each quantity is at its floor; quantities above theirs are missing.
        reference_error: Known error of the reference itself in (λ, γ) and in (R, D, C).
        problem: Number of the problem that the run solves, from 0; -1 if the run left no trajectory.
    """

    run: Run
    series: str
    kind: str
    resolution: float
    errors: Errors | None = None
    reference: str = ""
    floor: dict[str, str] = field(default_factory=dict)
    reference_error: tuple[float, float] = (math.nan, math.nan)
    problem: int = -1

    def value(self, quantity: str) -> float:
        """The error in one quantity, NaN if there is none."""
        return math.nan if self.errors is None else self.errors.values[quantity]


def compare(
    path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]], reference: str | None = None
) -> xr.Dataset:
    """Compare runs with a reference and with one another.

    Runs that solve different problems are compared in separate groups, each with its own reference.

    Args:
        path: A sweep directory, a folder of run directories, a run directory, or a sequence of these.
        reference: `closed_form`, `finest`, or the name of a run or an unambiguous prefix of it. None takes
            `closed_form` if the objective has a closed form, else `finest`.

    Returns:
        The comparison, with dimensions `run`, `series_name` and `quantity`. Each key that differs between runs is a
        coordinate along `run`, named and typed as `rdc_dyn.open_sweep` does it.

    Raises:
        UserError: If there is no such reference, a run is named as the reference of several different problems, or two
            keys would be the same coordinate.
        DataError: If there is nothing to compare or no finest run, two runs share a name, or a trajectory is malformed.
    """
    runs = read_runs([path] if isinstance(path, str | os.PathLike) else path)
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # numbers in a file may overflow; that is no error
            return _compared(runs, reference)
    except (ArithmeticError, LookupError, TypeError, ValueError, AttributeError, np.linalg.LinAlgError) as error:
        # Scenarios of other program versions are accepted too and therefore not validated; malformed ones end here.
        reason = (str(error).splitlines() or [""])[0][:200]
        raise DataError(
            f"compare: a trajectory or its scenario is none that a run leaves ({type(error).__name__}: {reason})"
        ) from error


def _compared(runs: list[Run], reference: str | None) -> xr.Dataset:
    groups = problem_groups(runs, [has_closed_form(run) for run in runs])
    if not groups:
        raise DataError(f"compare: none of {len(runs)} runs left a trajectory; the first says: {runs[0].message}")
    if reference not in (None, CLOSED_FORM, FINEST) and len(groups) > 1:
        one, other = runs[groups[0][0]], runs[groups[1][0]]
        raise UserError(
            f"--reference {reference}: the runs solve {len(groups)} different problems, which one run cannot be the "
            f"reference of: {difference(one, other)}; use finest or closed_form, which each problem has its own of"
        )
    swept = swept_keys(runs)
    names = series_names(runs, swept)
    references = [choose([runs[index] for index in group], reference) for group in groups]
    rows = [Row(run, name, *_resolution(run)) for run, name in zip(runs, names)]
    for number, group in enumerate(groups):
        for index in group:
            rows[index] = replace(_measured(rows[index], references[number]), problem=number)
    rows = _with_stagnation(rows)
    rows.sort(key=lambda row: (row.series, row.kind, -row.resolution if row.resolution == row.resolution else 0.0))
    return _dataset(rows, swept, references)


def _resolution(run: Run) -> tuple[str, float]:
    """step_size or rtol, and its value; NaN if unknown."""
    key = resolution_key(run.values)
    return key.split(".")[-1], float(run.values.get(key) or math.nan)


def _measured(row: Row, reference: Reference) -> Row:
    """A row with the errors of its run, and those of them that are at their floor."""
    found = errors(row.run, reference)
    low = {}
    if row.run.completed:
        known = floors(row.run, found, reference)
        low = {name: known[name].reason for name in QUANTITIES if found.values[name] <= MARGIN * known[name].size}
    return replace(row, errors=found, reference=reference.name, floor=low, reference_error=reference.own_error)


def _with_stagnation(rows: Sequence[Row]) -> list[Row]:
    """Add the floors that only a whole series reveals: smaller steps no longer help."""
    out = list(rows)
    for group in {(row.series, row.kind) for row in rows}:
        members = [i for i, row in enumerate(rows) if (row.series, row.kind) == group and row.run.completed]
        for name in QUANTITIES:
            told = [i for i in members if math.isfinite(rows[i].value(name)) and math.isfinite(rows[i].resolution)]
            if len(told) < 2:
                continue
            h = np.array([rows[i].resolution for i in told])
            flat = stagnated(h, np.array([rows[i].value(name) for i in told]), group[1])
            for i, at_floor in zip(told, flat):
                if at_floor and name not in out[i].floor:
                    what = "smaller steps" if group[1] == "step_size" else "smaller tolerances"
                    out[i] = replace(out[i], floor=out[i].floor | {name: f"{what} no longer reduce it"})
    return out


def _dataset(rows: Sequence[Row], swept: Sequence[str], references: Sequence[Reference]) -> xr.Dataset:
    coordinates: dict[str, Any] = {
        "run": [row.run.name for row in rows],
        "quantity": list(QUANTITIES),
        "series": ("run", [row.series for row in rows]),
        "resolution": ("run", [row.resolution for row in rows]),
        "resolution_kind": ("run", [row.kind for row in rows]),
        "reference": ("run", [row.reference for row in rows]),
        "problem": ("run", [row.problem for row in rows]),
    }
    variables: dict[str, Any] = {name: ("run", [row.value(name) for row in rows]) for name in QUANTITIES}
    for name in ("equilibrium_residual", "gradient_equivalents", "wall_time"):
        variables[name] = ("run", [math.nan if row.errors is None else getattr(row.errors, name) for row in rows])
    variables["status"] = ("run", [row.run.status for row in rows])
    variables["message"] = ("run", [row.run.message for row in rows])
    variables["at_floor"] = (("run", "quantity"), [[name in row.floor for name in QUANTITIES] for row in rows])
    variables["floor_reason"] = (
        ("run", "quantity"),
        [[row.floor.get(name, "") for name in QUANTITIES] for row in rows],
    )
    variables["reference_error"] = (("run", "quantity"), [[*row.reference_error, math.nan, math.nan] for row in rows])
    orders, names = _orders(rows)
    coordinates["series_name"] = names
    for key, name in coordinate_names(swept, {*coordinates, *variables, *orders}).items():
        column = coordinate([row.run.values.get(key, LACKING) for row in rows])
        coordinates[name] = ("run", column, {"long_name": key, "scenario_key": key})
    dataset = xr.Dataset(variables | orders, coordinates, _attributes(rows, references))
    for name, (text, units) in _TEXT.items():
        dataset[name].attrs = {"long_name": text, "units": units}
    return dataset


def _orders(rows: Sequence[Row]) -> tuple[dict[str, Any], list[str]]:
    """Observed order of each series and quantity, from completed runs that are not at their floor."""
    names = sorted({row.series for row in rows if row.errors is not None})
    table = np.full((4, len(names), len(QUANTITIES)), math.nan)
    expected, kinds = np.full(len(names), math.nan), []
    for i, name in enumerate(names):
        members = [row for row in rows if row.series == name and row.errors is not None and row.run.completed]
        kind = next(row.kind for row in rows if row.series == name)
        kinds.append(kind)
        orders = {row.run.scenario.integrator.order for row in members if row.run.scenario is not None}
        if kind == "step_size" and len(orders) == 1:
            expected[i] = orders.pop()
        for j, quantity in enumerate(QUANTITIES):
            used = [row for row in members if quantity not in row.floor]
            found = observed_order(
                np.array([row.resolution for row in used]), np.array([row.value(quantity) for row in used])
            )
            table[:, i, j] = found.value, found.low, found.high, found.points
    dims = ("series_name", "quantity")
    variables: dict[str, Any] = {"order": (dims, table[0]), "order_low": (dims, table[1])}
    variables |= {"order_high": (dims, table[2]), "order_points": (dims, table[3].astype(int))}
    variables |= {"method_order": ("series_name", expected), "order_kind": ("series_name", kinds)}
    return variables, names


def _attributes(rows: Sequence[Row], references: Sequence[Reference]) -> dict[str, str]:
    trajectories = [row.run.trajectory for row in rows if row.run.trajectory is not None]
    made = sorted({f"{t.attrs.get('source', 'unknown')} {t.attrs.get('commit', 'unknown')}" for t in trajectories})
    return {
        "title": "comparison of runs",
        "source": f"rdc_dyn {program_version()}",
        "runs_made_by": "; ".join(made),
        "reference": " | ".join(dict.fromkeys(reference.text for reference in references)),
        "reference_error": " | ".join(
            f"(lam, gamma) {reference.own_error[0]:.1e}, (R, D, C) {reference.own_error[1]:.1e} nat"
            if math.isfinite(reference.own_error[0])
            else "not known"
            for reference in references
        ),
        "floor": RULE,
        "order": "least squares of ln error on ln resolution, 95 % confidence by Student's t, floor points left out",
    }

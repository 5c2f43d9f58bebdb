"""Trajectories whose clocks differ, on one clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import xarray as xr
from scipy.interpolate import CubicSpline

from rdc_dyn.output.identities.branches import branch_slices, jumped, turned
from rdc_dyn.output.record import CONTROLS, FUNCTIONALS
from rdc_dyn.status import UserError

#: Smooth functions of the clock along a branch.
_LOSSES = (*FUNCTIONALS, "free_energy")
SMOOTH = frozenset(
    {
        *CONTROLS,
        *_LOSSES,
        *(f"validation_{name}" for name in _LOSSES),
        "weight_penalty",
        "fresh_distortion",
        "fresh_classification_loss",
        "validation_target_classification_loss",
        "effective_sample_size",
        "free_energy_data_derivative",
        "free_energy_data_curvature",
        "response",
    }
)
#: Continuous at best, or recorded at some points only: linear between neighbours.
LINEAR = frozenset(
    {"accuracy", "validation_accuracy", "validation_target_accuracy", "smallest_eigenvalue", "singular_distance"}
)
#: What a bound is claimed by: never smaller than at the neighbours.
RESIDUALS = frozenset({"equilibrium_residual", "constraint_residual", "krylov_residual"})

#: Clocks that differ by less than this many roundings are the same.
_ROUNDING = 16 * np.finfo(np.float64).eps


def to_common_clock(
    trajectory: xr.Dataset, clock: xr.Dataset | xr.DataArray | Sequence[float] | np.ndarray
) -> xr.Dataset:
    """x(s) at other clocks s, by the trajectory's own interpolation: fourth order in the step for what is smooth.

    λ, γ, t, the losses, F and M run on cubic splines through the recorded points of a branch, one spline per branch:
    nothing is smoothed over a jump. Between the last point of one branch and the first of the next they are NaN, since
    where in between the jump lies is not known, and so they are outside the recorded span. Round a fold that was
    followed, where the clock is no smooth parameter, they are linear. Accuracy and eigenvalues are linear. Residuals
    take the larger of their two neighbours by magnitude, so that no bound is lost. `jump_*` belong to the points that
    a jump led to and are 0 at others. Everything else, such as counters, wall time and step size, keeps its last
    recorded value. At recorded times all have their recorded values.

    Args:
        trajectory: A trajectory with the dimension `time`.
        clock: Values of the process clock; or another trajectory, whose clock is taken.

    Returns:
        The trajectory with `time` as asked, in that order, floating point throughout.

    Raises:
        UserError: If the clock is not one-dimensional and finite, or the trajectory's own is not monotone.
    """
    asked = np.asarray(clock["time"] if isinstance(clock, xr.Dataset) else clock, dtype=np.float64)
    if asked.ndim != 1 or not np.isfinite(asked).all():
        raise UserError("to_common_clock: expected a one-dimensional clock of finite numbers")
    grid = _Grid.of(trajectory, asked)
    variables = {}
    for name, variable in trajectory.variables.items():
        if "time" not in variable.dims or name == "time":
            variables[name] = variable
            continue
        last = variable.transpose("time", ...)
        values = np.asarray(last.values, dtype=np.float64)
        columns = grid.interpolate(_rule(str(name)), values.reshape(len(values), _columns(last)))
        on_clock = columns.reshape(len(asked), *last.shape[1:])
        variables[name] = xr.Variable(last.dims, on_clock, variable.attrs).transpose(*variable.dims)
    variables["time"] = xr.Variable("time", asked, trajectory["time"].attrs)
    coordinates = {name: variables.pop(name) for name in trajectory.coords}
    return xr.Dataset(variables, coordinates, trajectory.attrs)


class _Grid:
    """The recorded clock, the asked one, and where the one lies in the other."""

    def __init__(self, own: np.ndarray, asked: np.ndarray, leads: np.ndarray, folds: np.ndarray) -> None:
        self.own, self.asked, self.leads, self.folds = own, asked, leads, folds
        close = _ROUNDING * max(1.0, float(np.abs(own).max(initial=0.0)))
        nearest = np.clip(np.searchsorted(own, asked), 0, max(len(own) - 1, 0))
        if len(own):
            before = np.maximum(nearest - 1, 0)
            nearest = np.where(np.abs(own[before] - asked) < np.abs(own[nearest] - asked), before, nearest)
            self.exact = np.abs(own[nearest] - asked) <= close
        else:
            self.exact = np.zeros(len(asked), dtype=bool)
        self.nearest = nearest
        #: Index of the last recorded point before.
        self.left = np.searchsorted(own, asked, side="right") - 1
        inside = (self.left >= 0) & (self.left < len(own) - 1)
        self.between = inside & ~self.exact

    @classmethod
    def of(cls, trajectory: xr.Dataset, asked: np.ndarray) -> _Grid:
        """Order both clocks upwards; a process may run down."""
        own = np.asarray(trajectory["time"].values, dtype=np.float64)
        sign = -1.0 if len(own) > 1 and own[-1] < own[0] else 1.0
        if not (np.diff(sign * own) > 0).all():
            raise UserError("to_common_clock: the clock of the trajectory is not monotone")
        return cls(sign * own, sign * asked, jumped(trajectory).values, turned(trajectory))

    def interpolate(self, rule: Rule, columns: np.ndarray) -> np.ndarray:
        """Values at the asked clock; `columns` has one row per recorded point."""
        out = np.full((len(self.asked), columns.shape[1]), np.nan)
        if len(self.own):
            rule(self, columns, out)
            out[self.exact] = columns[self.nearest[self.exact]]
        return out


Rule = Callable[[_Grid, np.ndarray, np.ndarray], None]


def _smooth(grid: _Grid, columns: np.ndarray, out: np.ndarray) -> None:
    _linear(grid, columns, out)  # what is left so: the steps round folds, and columns with gaps
    for piece in branch_slices(grid.leads | grid.folds):
        where = grid.between & (grid.left >= piece.start) & (grid.left < piece.stop - 1)
        whole = np.isfinite(columns[piece]).all(axis=0)
        if where.any() and whole.any():
            out[np.ix_(where, whole)] = CubicSpline(grid.own[piece], columns[piece][:, whole])(grid.asked[where])


def _linear(grid: _Grid, columns: np.ndarray, out: np.ndarray) -> None:
    """Linear on each branch, between the neighbours that have a value."""
    for branch in branch_slices(grid.leads):
        where = grid.between & (grid.left >= branch.start) & (grid.left < branch.stop - 1)
        for k in range(columns.shape[1]):
            there = np.isfinite(columns[branch, k])
            if where.any() and there.any():
                out[where, k] = np.interp(
                    grid.asked[where], grid.own[branch][there], columns[branch, k][there], left=np.nan, right=np.nan
                )


def _larger(grid: _Grid, columns: np.ndarray, out: np.ndarray) -> None:
    left, right = columns[grid.left[grid.between]], columns[grid.left[grid.between] + 1]
    out[grid.between] = np.where(np.abs(left) >= np.abs(right), left, right)
    out[grid.between] = np.where(np.isnan(left) | np.isnan(right), np.nan, out[grid.between])


def _last(grid: _Grid, columns: np.ndarray, out: np.ndarray) -> None:
    out[grid.between] = columns[grid.left[grid.between]]


def _nowhere(grid: _Grid, columns: np.ndarray, out: np.ndarray) -> None:
    out[grid.between] = 0.0


def _rule(name: str) -> Rule:
    if name in SMOOTH:
        return _smooth
    if name in LINEAR:
        return _linear
    if name in RESIDUALS:
        return _larger
    return _nowhere if name.startswith("jump_") else _last


def _columns(variable: xr.Variable) -> int:
    """Numbers per point, also where there is no point."""
    return int(np.prod(variable.shape[1:], dtype=int))

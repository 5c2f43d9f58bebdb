"""Interpolation of trajectories to a common process clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import xarray as xr
from scipy.interpolate import CubicSpline

from rdc_dyn.read.identities.branches import branch_slices, jumped, turned
from rdc_dyn.record import CONTROLS, FUNCTIONALS
from rdc_dyn.status import UserError

_LOSSES = (*FUNCTIONALS, "free_energy")
#: Smooth functions of the clock along a branch.
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
#: Not smooth, or recorded at some points only: linear between neighbours.
LINEAR = frozenset(
    {"accuracy", "validation_accuracy", "validation_target_accuracy", "smallest_eigenvalue", "singular_distance"}
)
#: Variables that support a claimed bound: never smaller than either neighbour.
RESIDUALS = frozenset({"equilibrium_residual", "constraint_residual", "krylov_residual", "response_solve_error"})

#: Clock values that differ by less than this, relative to max(1, max |s|), are the same.
_ROUNDING = 16 * np.finfo(np.float64).eps


def to_common_clock(
    trajectory: xr.Dataset, clock: xr.Dataset | xr.DataArray | Sequence[float] | np.ndarray
) -> xr.Dataset:
    """Interpolate a trajectory to another process clock, to fourth order in the step where variables are smooth.

    λ, γ, t, the losses, F and M run on cubic splines through the recorded points, one spline per branch, so that
    nothing is smoothed over a jump. In the steps round a followed fold, where the clock is not a smooth parameter, they
    are linear. Variables in `LINEAR`, such as accuracy and eigenvalues, are linear throughout. All of these are NaN
    between the last point of one branch and the first of the next, since it is unknown where in between the jump lies.
    Residuals take the larger of their two neighbours in magnitude, so that no bound is lost. `jump_*` belong to the
    points that a jump led to and are 0 elsewhere. Everything else, such as counters, wall time and step size, keeps its
    last recorded value. At recorded times every variable has its recorded value; outside the recorded span it is NaN.

    A trajectory as `clock` stands for its own clock. Variables along `time` become float64. UserError is raised unless
    `clock` is one-dimensional and finite and the trajectory's own clock is monotone.
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
    """A recorded clock `own`, the clock values `asked`, and the recorded step in which each asked value lies."""

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
        #: Index of the last recorded point at or before each asked value.
        self.left = np.searchsorted(own, asked, side="right") - 1
        inside = (self.left >= 0) & (self.left < len(own) - 1)
        self.between = inside & ~self.exact

    @classmethod
    def of(cls, trajectory: xr.Dataset, asked: np.ndarray) -> _Grid:
        """Orient both clocks upwards, since a process may run down; UserError if the trajectory's is not monotone."""
        own = np.asarray(trajectory["time"].values, dtype=np.float64)
        sign = -1.0 if len(own) > 1 and own[-1] < own[0] else 1.0
        if not (np.diff(sign * own) > 0).all():
            raise UserError("to_common_clock: the clock of the trajectory is not monotone")
        return cls(sign * own, sign * asked, jumped(trajectory).values, turned(trajectory))

    def interpolate(self, rule: Rule, columns: np.ndarray) -> np.ndarray:
        """Interpolate `columns`, which has one row per recorded point, to the asked clock values."""
        out = np.full((len(self.asked), columns.shape[1]), np.nan)
        if len(self.own):
            rule(self, columns, out)
            out[self.exact] = columns[self.nearest[self.exact]]
        return out


Rule = Callable[[_Grid, np.ndarray, np.ndarray], None]


def _smooth(grid: _Grid, columns: np.ndarray, out: np.ndarray) -> None:
    _linear(grid, columns, out)  # this stays in steps round folds and in columns with gaps
    for piece in branch_slices(grid.leads | grid.folds):
        where = grid.between & (grid.left >= piece.start) & (grid.left < piece.stop - 1)
        whole = np.isfinite(columns[piece]).all(axis=0)
        if where.any() and whole.any():
            out[np.ix_(where, whole)] = CubicSpline(grid.own[piece], columns[piece][:, whole])(grid.asked[where])


def _linear(grid: _Grid, columns: np.ndarray, out: np.ndarray) -> None:
    """Interpolate linearly on each branch, between the neighbours that have a value."""
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
    """The number of values per point, defined even for a trajectory without points."""
    return int(np.prod(variable.shape[1:], dtype=int))

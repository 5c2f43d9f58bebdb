"""Records → `xarray.Dataset`: the one module that knows the layout of a trajectory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from rdc_dyn.output.record import CONTROLS, FUNCTIONALS, VARIABLES, Record
from rdc_dyn.status import DataError

TIME_ATTRS = {"long_name": "process clock", "units": "1", "axis": "T"}
CONVENTIONS = "CF-1.11"
#: Matrix variables of a trajectory; the standard errors are present only where M is an estimate.
MATRICES = {
    "response": "response matrix d(R, D, C)/d(lam, gamma, t) along the equilibrium surface",
    "response_error": "standard error of the response matrix",
}
_UNKNOWN = ((float("nan"),) * 3,) * 3


def to_dataset(records: Sequence[Record], attributes: Mapping[str, str | int | float]) -> xr.Dataset:
    """Build the trajectory from records in clock order, of which there may be none.

    Its coordinates are `time`, `functional`, `control`, `lam`, `gamma` and `data_position`; its variables, all float64,
    are those of `VARIABLES` and `response(functional, control, time)`. Attributes are strings and numbers, for netCDF.
    """
    columns = {
        name: np.array([r.values.get(name, np.nan) for r in records], dtype=np.float64)
        for name, variable in VARIABLES.items()
        if not variable.optional or any(name in r.values for r in records)
    }
    matrices = {"response": _matrices([r.response for r in records])}
    if any(r.response_error is not None for r in records):
        matrices["response_error"] = _matrices(
            [_UNKNOWN if r.response_error is None else r.response_error for r in records]
        )
    return _assembled(np.array([r.time for r in records], dtype=np.float64), columns, matrices, attributes)


def _matrices(found: Sequence[Sequence[Sequence[float]]]) -> np.ndarray:
    """Stack one 3 × 3 matrix per point, time last."""
    return np.array(found, dtype=np.float64).reshape(-1, 3, 3).transpose(1, 2, 0)


def joined(parts: Sequence[xr.Dataset], attributes: Mapping[str, str | int | float]) -> xr.Dataset:
    """Concatenate parts of a trajectory in clock order, bit for bit as `to_dataset` would build it from all records.

    There must be at least one part; what only some parts have is NaN in the others.
    """

    def column(name: str) -> np.ndarray:
        return np.concatenate([p[name].values if name in p else np.full(p.sizes["time"], np.nan) for p in parts])

    columns = {name: column(name) for name in VARIABLES if any(name in part for part in parts)}
    matrices = {"response": np.concatenate([part["response"].values for part in parts], axis=2)}
    if any("response_error" in part for part in parts):
        unknown = [np.full((3, 3, part.sizes["time"]), np.nan) for part in parts]
        found = [part["response_error"].values if "response_error" in part else u for part, u in zip(parts, unknown)]
        matrices["response_error"] = np.concatenate(found, axis=2)
    return _assembled(column("time"), columns, matrices, attributes)


def _assembled(
    time: np.ndarray,
    columns: Mapping[str, np.ndarray],
    matrices: Mapping[str, np.ndarray],
    attributes: Mapping[str, str | int | float],
) -> xr.Dataset:
    variables = {}
    for name, column in columns.items():
        attrs = {"long_name": VARIABLES[name].long_name, "units": VARIABLES[name].units}
        variables[name] = xr.Variable("time", column, attrs)
    for name, matrix in matrices.items():
        attrs = {"long_name": MATRICES[name], "units": "nat"}
        variables[name] = xr.Variable(("functional", "control", "time"), matrix, attrs)
    coordinates = {
        "time": xr.Variable("time", time, TIME_ATTRS),
        "functional": xr.Variable("functional", list(FUNCTIONALS)),
        "control": xr.Variable("control", list(CONTROLS)),
        **{name: variables.pop(name) for name in CONTROLS},
    }
    return xr.Dataset(variables, coordinates, {"Conventions": CONVENTIONS, **attributes})


def require_trajectory(dataset: xr.Dataset, file: Path) -> None:
    """Raise DataError if a dataset read from `file` is no trajectory, or a part of it is missing or malformed."""
    wrong = _wrong_variables(dataset) or _wrong_attributes(dataset.attrs)
    if wrong:
        raise DataError(f"{file}: not a trajectory of this program, {wrong}")


def _wrong_variables(dataset: xr.Dataset) -> str:
    words = {"functional": FUNCTIONALS, "control": CONTROLS}
    needed = ("time", *(name for name, v in VARIABLES.items() if not v.optional), "response", *words)
    missing = [name for name in needed if name not in dataset.variables]
    if missing:
        return f"it lacks {', '.join(missing[:6])}" + ", ..." * (len(missing) > 6)
    for name, variable in dataset.variables.items():
        if name in words:
            if variable.dims != (name,) or [str(word) for word in variable.values] != list(words[str(name)]):
                return f"{name} is not {', '.join(words[str(name)])}"
            continue
        dims = ("functional", "control", "time") if name in MATRICES else ("time",)
        if variable.dims != dims or variable.dtype.kind != "f":
            return f"{str(name)[:80]} is {variable.dtype}{variable.dims}"
    return ""


def _wrong_attributes(attributes: Mapping[Any, Any]) -> str:
    if not isinstance(attributes.get("scenario"), str):
        return "it lacks the attribute scenario, or that is no text"
    if attributes.get("dtype", "float64") not in ("float64", "float32"):
        return "its attribute dtype is neither float64 nor float32"
    kinds = (str, int, float, np.integer, np.floating)
    odd = [str(name)[:80] for name, value in attributes.items() if not isinstance(value, kinds)]
    return f"its attribute {odd[0]} is neither text nor a number" if odd else ""

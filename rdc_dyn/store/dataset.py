"""Records → `xarray.Dataset`: the one module that knows the layout of a trajectory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from rdc_dyn.record import CONTROLS, FUNCTIONALS, VARIABLES, Record, Variable
from rdc_dyn.status import DataError

TIME_ATTRS = {"long_name": "process clock", "units": "1", "axis": "T"}
CONVENTIONS = "CF-1.11"
#: Matrix variables of a trajectory; the standard errors are present only where M is an estimate.
MATRICES = {
    "response": Variable("response matrix d(R, D, C)/d(lam, gamma, t) along the equilibrium surface", "nat"),
    "response_error": Variable("standard error of the response matrix", "nat", True),
}
_UNKNOWN = ((float("nan"),) * 3,) * 3


def to_dataset(records: Sequence[Record], attributes: Mapping[str, str | int | float]) -> xr.Dataset:
    """Build the trajectory from records in clock order, of which there may be none.

    Its variables, all float64, are those of `VARIABLES` and of `MATRICES`; its attributes are as netCDF takes them.
    """
    columns = {
        name: np.array([r.values.get(name, np.nan) for r in records], dtype=np.float64)
        for name, variable in VARIABLES.items()
        if not variable.optional or any(name in r.values for r in records)
    }
    columns["response"] = _matrices([r.response for r in records])
    errors = [_UNKNOWN if r.response_error is None else r.response_error for r in records]
    if any(error is not _UNKNOWN for error in errors):
        columns["response_error"] = _matrices(errors)
    return _assembled(np.array([r.time for r in records], dtype=np.float64), columns, attributes)


def _matrices(found: Sequence[Sequence[Sequence[float]]]) -> np.ndarray:
    """Stack one 3 × 3 matrix per point, time last."""
    return np.array(found, dtype=np.float64).reshape(-1, 3, 3).transpose(1, 2, 0)


def joined(parts: Sequence[xr.Dataset], attributes: Mapping[str, str | int | float]) -> xr.Dataset:
    """Join parts of a trajectory, at least one, bit for bit as `to_dataset` would build it from all records."""

    def column(name: str) -> np.ndarray:
        before = (3, 3) if name in MATRICES else ()
        unknown = [np.full((*before, part.sizes["time"]), np.nan) for part in parts]
        return np.concatenate([p[name].values if name in p else u for p, u in zip(parts, unknown)], axis=-1)

    names = [name for name in (*VARIABLES, *MATRICES) if any(name in part for part in parts)]
    return _assembled(column("time"), {name: column(name) for name in names}, attributes)


def _dims(name: str) -> tuple[str, ...]:
    return ("functional", "control", "time") if name in MATRICES else ("time",)


def _assembled(
    time: np.ndarray, columns: Mapping[str, np.ndarray], attributes: Mapping[str, str | int | float]
) -> xr.Dataset:
    variables = {}
    for name, column in columns.items():
        known = VARIABLES[name] if name in VARIABLES else MATRICES[name]
        variables[name] = xr.Variable(_dims(name), column, {"long_name": known.long_name, "units": known.units})
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
        elif variable.dims != _dims(str(name)) or variable.dtype.kind != "f":
            return f"{str(name)[:80]} is {variable.dtype}{variable.dims}"
    return ""


def _wrong_attributes(attributes: Mapping[Any, Any]) -> str:
    if not isinstance(attributes.get("scenario"), str):
        return "it lacks the attribute scenario, or that is no text"
    if str(attributes.get("dtype", "float64")) not in ("float64", "float32"):  # of a stranger's file it may be an array
        return "its attribute dtype is neither float64 nor float32"
    kinds = (str, int, float, np.integer, np.floating)
    odd = [str(name)[:80] for name, value in attributes.items() if not isinstance(value, kinds)]
    return f"its attribute {odd[0]} is neither text nor a number" if odd else ""

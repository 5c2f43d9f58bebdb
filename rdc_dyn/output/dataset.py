"""Records → `xarray.Dataset`: the one place that knows the layout of a trajectory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from rdc_dyn.output.record import CONTROLS, FUNCTIONALS, VARIABLES, Record

TIME_ATTRS = {"long_name": "process clock", "units": "1", "axis": "T"}
CONVENTIONS = "CF-1.11"


def to_dataset(records: Sequence[Record], attributes: Mapping[str, str | int | float]) -> xr.Dataset:
    """Build the trajectory.

    Args:
        records: Points in the order of the clock; there may be none.
        attributes: Attributes of the dataset; strings and numbers only, as netCDF asks.

    Returns:
        Dataset with the dimension coordinate `time`, coordinates `lam`, `gamma`, `data_position`, one variable for each
        name in `VARIABLES`, and `response(functional, control, time)`. Floating point throughout.
    """
    time = np.array([r.time for r in records], dtype=np.float64)
    variables = {}
    for name, variable in VARIABLES.items():
        column = np.array([r.values.get(name, np.nan) for r in records], dtype=np.float64)
        if variable.optional and not any(name in r.values for r in records):
            continue
        attrs = {"long_name": variable.long_name, "units": variable.units}
        variables[name] = xr.Variable("time", column, attrs)
    response = np.array([r.response for r in records], dtype=np.float64).reshape(-1, 3, 3).transpose(1, 2, 0)
    variables["response"] = xr.Variable(
        ("functional", "control", "time"),
        response,
        {"long_name": "response matrix d(R, D, C)/d(lam, gamma, t) along the equilibrium surface", "units": "nat"},
    )
    coordinates = {
        "time": xr.Variable("time", time, TIME_ATTRS),
        "functional": xr.Variable("functional", list(FUNCTIONALS)),
        "control": xr.Variable("control", list(CONTROLS)),
        **{name: variables.pop(name) for name in CONTROLS},
    }
    return xr.Dataset(variables, coordinates, {"Conventions": CONVENTIONS, **attributes})

"""Nats and bits: a bit is ln 2 nats. Trajectories are stored in nats; the attribute `units` says which numbers are."""

import math
import re
from difflib import get_close_matches
from typing import Literal

import xarray as xr

from rdc_dyn.status import UserError

Units = Literal["nats", "bits"]
#: How many nats each unit is, by its name in the attribute `units`.
_NATS = {"nat": 1.0, "bit": math.log(2)}
_UNITS: dict[Units, str] = {"nats": "nat", "bits": "bit"}


def in_units(dataset: xr.Dataset, units: Units) -> xr.Dataset:
    """Express every variable that carries nats or bits in one of the two.

    These are the variables with the attribute `units` nat or bit, or a power such as nat-1: the losses, J and F, what
    derives from them by λ, γ, t and θ, such as the response matrix and ‖∇J‖, and their errors. All others stay as they
    are: multipliers (a ratio of losses), accuracies, distances in θ, counters.

    Args:
        dataset: A trajectory, a surface, a sweep or a comparison, in nats or bits.
        units: nats or bits.

    Returns:
        The dataset with these variables and their `units` changed, or the dataset itself if there is nothing to change.

    Raises:
        UserError: If the units are unknown.
    """
    unit = _UNITS[chosen(units)]
    changed = {str(name): _converted(variable, unit) for name, variable in dataset.variables.items()}
    changed = {name: variable for name, variable in changed.items() if variable is not dataset.variables[name]}
    if not changed:
        return dataset
    coordinates = {name: changed.pop(name) for name in list(changed) if name in dataset.coords}
    return dataset.assign(changed).assign_coords(coordinates)


def chosen(units: str) -> Units:
    """The units that are asked for; UserError, with the nearest choice, unless they are nats or bits."""
    for choice in _UNITS:
        if units == choice:
            return choice
    near = get_close_matches(str(units), _UNITS, n=1)
    hint = f"did you mean {near[0]}?" if near else f"expected {' or '.join(_UNITS)}"
    raise UserError(f"units: {str(units)[:40]!r} is unknown; {hint}")


def _converted(variable: xr.Variable, unit: str) -> xr.Variable:
    """The variable in another unit, or itself if it has neither nats nor bits."""
    own = re.fullmatch(r"(nat|bit)(-?\d)?", str(variable.attrs.get("units", "")))
    if own is None or own[1] == unit:
        return variable
    factor = (_NATS[own[1]] / _NATS[unit]) ** int(own[2] or 1)
    converted = variable.copy(data=variable.data * factor)
    converted.attrs["units"] = unit + (own[2] or "")
    return converted

"""The drift of a functional from its value at the start."""

from collections.abc import Mapping
from difflib import get_close_matches

import xarray as xr

from rdc_dyn.status import UserError


def drift(trajectory: xr.Dataset, functional: str | Mapping[str, float] = "classification_loss") -> xr.DataArray:
    """h(s) − h(0) of a functional, in its own units: zero for the one that the process holds.

    `functional` names a variable along `time`, or gives weights such as {"rate": 1, "distortion": 0.5} for h = R + D/2.
    """
    weights = {functional: 1.0} if isinstance(functional, str) else dict(functional)
    if not weights:
        raise UserError('drift: no functional; expected a name or weights such as {"rate": 1, "distortion": 0.5}')
    for name in weights:
        _check(trajectory, name)
    if isinstance(functional, str):
        value, text = trajectory[functional], functional
    else:
        value = sum((weight * trajectory[name] for name, weight in weights.items()), start=xr.DataArray(0.0))
        text = " + ".join(f"{weight:g} {name}" for name, weight in weights.items())
    out = value - value.isel(time=0, drop=True) if value.sizes["time"] else value.copy()
    units = {str(trajectory[name].attrs.get("units", "1")) for name in weights}
    return out.rename(None).assign_attrs(
        long_name=f"drift of the {text}", units=units.pop() if len(units) == 1 else "mixed"
    )


def _check(trajectory: xr.Dataset, name: str) -> None:
    """Raise UserError, with the nearest names, unless `name` is a variable along `time`."""
    choices = [str(n) for n, v in trajectory.variables.items() if "time" in v.dims and n not in ("time", "response")]
    if name not in choices:
        near = get_close_matches(name, choices, n=3) or ["rate", "distortion", "classification_loss"]
        raise UserError(f"drift: no variable {name!r} along time; nearest: {', '.join(near)}")

"""Which points are on the equilibrium surface."""

from __future__ import annotations

import io
import math
from typing import Any

import xarray as xr
from ruamel.yaml import YAML

from rdc_dyn.status import UserError

#: Tolerance on |∇J| of a scenario that names none.
_DEFAULTS = {"float64": 1e-8, "float32": 1e-4}
#: Characters that a scenario has at most.
_LONGEST = 256 * 1024


def equilibrium_mask(trajectory: xr.Dataset, tolerance: float | None = None) -> xr.DataArray:
    """‖∇_θJ‖ ≤ tolerance: the point is an equilibrium to the accuracy that was asked for.

    Args:
        trajectory: A trajectory, or several with further dimensions.
        tolerance: In nat; None: that of the scenario's corrector, else of its start, else 1e-8 in float64 and 1e-4 in
            float32.

    Returns:
        True along `time` where it is. A residual that is not a number is on no surface.

    Raises:
        UserError: If the tolerance is not positive.
    """
    if tolerance is None:
        tolerance = _tolerance(trajectory.attrs)
    if not tolerance > 0:
        raise UserError(f"equilibrium_mask: the tolerance is {tolerance!r}; expected a positive number")
    mask: xr.DataArray = trajectory["equilibrium_residual"] <= tolerance
    return mask.rename(None).assign_attrs(long_name=f"|grad J| is at most {tolerance:g} nat", units="1")


def _tolerance(attributes: dict[Any, Any]) -> float:
    """What the scenario of the trajectory asked for."""
    text = str(attributes.get("scenario", ""))
    try:
        scenario = YAML(typ="safe").load(io.StringIO(text)) if len(text) <= _LONGEST else {}
    except Exception:  # the file may be a stranger's, and the parser fails in many ways
        scenario = {}
    for path in (("corrector", "tolerance"), ("start", "equilibrate", "tolerance")):
        found: Any = scenario
        for key in path:
            found = found.get(key) if isinstance(found, dict) else None
        if isinstance(found, (int, float)) and 0 < found < math.inf:
            return float(found)
    return _DEFAULTS.get(str(attributes.get("dtype")), 1e-8)

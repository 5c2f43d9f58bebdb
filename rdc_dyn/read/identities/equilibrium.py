"""Which points lie on the equilibrium surface."""

import io
import math
from typing import Any

import xarray as xr
from ruamel.yaml import YAML

from rdc_dyn.status import UserError

#: Tolerance on ‖∇J‖ where the scenario specifies none.
_DEFAULTS = {"float64": 1e-8, "float32": 1e-4}
#: Length in characters beyond which a scenario is ignored.
_LONGEST = 256 * 1024


def equilibrium_mask(trajectory: xr.Dataset, tolerance: float | None = None) -> xr.DataArray:
    """‖∇_θJ‖ ≤ tolerance (nat): the point is an equilibrium to that accuracy; a NaN residual is not.

    By default the tolerance is that of the scenario's corrector, else of the equilibration at its start, else 1e-8 in
    float64 and 1e-4 in float32. UserError is raised unless it is positive.
    """
    if tolerance is None:
        tolerance = _tolerance(trajectory.attrs)
    if not tolerance > 0:
        raise UserError(f"equilibrium_mask: the tolerance is {tolerance!r}; expected a positive number")
    mask: xr.DataArray = trajectory["equilibrium_residual"] <= tolerance
    return mask.rename(None).assign_attrs(long_name=f"|grad J| is at most {tolerance:g} nat", units="1")


def _tolerance(attributes: dict[Any, Any]) -> float:
    """The tolerance that the trajectory's scenario specifies, or the default of its dtype."""
    text = str(attributes.get("scenario", ""))
    try:
        scenario = YAML(typ="safe").load(io.StringIO(text)) if len(text) <= _LONGEST else {}
    except Exception:  # the file may come from anywhere, and the parser fails in many ways
        scenario = {}
    for path in (("corrector", "tolerance"), ("start", "equilibrate", "tolerance")):
        found: Any = scenario
        for key in path:
            found = found.get(key) if isinstance(found, dict) else None
        if isinstance(found, (int, float)) and 0 < found < math.inf:
            return float(found)
    return _DEFAULTS.get(str(attributes.get("dtype")), 1e-8)

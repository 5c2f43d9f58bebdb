"""Dynamics on the rate-distortion-classification surface of a model.

Importing the package registers the accessor `ds.rdc` of `xarray.Dataset`, and costs nothing until xarray or torch is
used: the command line's light commands stay light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rdc_dyn._lazy import when_imported

if TYPE_CHECKING:
    from rdc_dyn.output.run_directory import open_run
    from rdc_dyn.runner import RunWarning, run
    from rdc_dyn.scenario import Scenario, ScenarioError
    from rdc_dyn.status import DataError, Status, UserError

_PUBLIC = {
    "DataError": "rdc_dyn.status",
    "RunWarning": "rdc_dyn.runner",
    "Scenario": "rdc_dyn.scenario",
    "ScenarioError": "rdc_dyn.scenario",
    "Status": "rdc_dyn.status",
    "UserError": "rdc_dyn.status",
    "open_run": "rdc_dyn.output.run_directory",
    "run": "rdc_dyn.runner",
}

__all__ = [
    "DataError",
    "RunWarning",
    "Scenario",
    "ScenarioError",
    "Status",
    "UserError",
    "open_run",
    "run",
]

when_imported("xarray", "rdc_dyn.output.accessor")


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'rdc_dyn' has no attribute {name!r}")
    value = getattr(import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value

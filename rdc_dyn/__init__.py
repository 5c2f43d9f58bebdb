"""Dynamics on the rate-distortion-classification surface of a model.

Importing the package registers the accessor `ds.rdc` of `xarray.Dataset`, but loads neither xarray nor torch before
they are used, so that the light commands of the command line stay light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rdc_dyn._lazy import when_imported

if TYPE_CHECKING:
    from rdc_dyn.comparison import compare
    from rdc_dyn.output.open_sweep import open_sweep
    from rdc_dyn.output.run_directory import open_run
    from rdc_dyn.recorder import RunWarning
    from rdc_dyn.resumption import resume
    from rdc_dyn.runner import run
    from rdc_dyn.scenario import Scenario, ScenarioError
    from rdc_dyn.status import DataError, Status, UserError
    from rdc_dyn.sweeps import sweep
    from rdc_dyn.trained import load_networks

_PUBLIC = {
    "DataError": "rdc_dyn.status",
    "RunWarning": "rdc_dyn.recorder",
    "Scenario": "rdc_dyn.scenario",
    "ScenarioError": "rdc_dyn.scenario",
    "Status": "rdc_dyn.status",
    "UserError": "rdc_dyn.status",
    "compare": "rdc_dyn.comparison",
    "load_networks": "rdc_dyn.trained",
    "open_run": "rdc_dyn.output.run_directory",
    "open_sweep": "rdc_dyn.output.open_sweep",
    "resume": "rdc_dyn.resumption",
    "run": "rdc_dyn.runner",
    "sweep": "rdc_dyn.sweeps",
}

__all__ = [
    "DataError",
    "RunWarning",
    "Scenario",
    "ScenarioError",
    "Status",
    "UserError",
    "compare",
    "load_networks",
    "open_run",
    "open_sweep",
    "resume",
    "run",
    "sweep",
]

when_imported("xarray", "rdc_dyn.output.accessor")


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'rdc_dyn' has no attribute {name!r}")
    value = getattr(import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value

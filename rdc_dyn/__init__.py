"""Dynamics on the rate-distortion-classification surface of a model.

Importing the package registers the accessor `ds.rdc` of `xarray.Dataset`, and costs nothing until xarray or torch is
used: the command line's light commands stay light.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from rdc_dyn._lazy import when_imported

if TYPE_CHECKING:
    from rdc_dyn.comparison import compare
    from rdc_dyn.dynamics.correctors.base import Corrector
    from rdc_dyn.dynamics.processes.base import Process
    from rdc_dyn.objective.base import Objective
    from rdc_dyn.read.cite import cite
    from rdc_dyn.read.open_sweep import open_sweep
    from rdc_dyn.running.load_networks import load_networks
    from rdc_dyn.running.resumption import resume
    from rdc_dyn.running.runner import run
    from rdc_dyn.scenario import Scenario, ScenarioError
    from rdc_dyn.sections import ReaderSection as Reader
    from rdc_dyn.status import DataError, RunWarning, Status, UserError
    from rdc_dyn.store.run_directory import open_run
    from rdc_dyn.sweeps import surface, sweep

    __version__: str

_PUBLIC = {
    "Corrector": "rdc_dyn.dynamics.correctors.base",
    "DataError": "rdc_dyn.status",
    "Objective": "rdc_dyn.objective.base",
    "Process": "rdc_dyn.dynamics.processes.base",
    "Reader": "rdc_dyn.sections:ReaderSection",
    "RunWarning": "rdc_dyn.status",
    "Scenario": "rdc_dyn.scenario",
    "ScenarioError": "rdc_dyn.scenario",
    "Status": "rdc_dyn.status",
    "UserError": "rdc_dyn.status",
    "cite": "rdc_dyn.read.cite",
    "compare": "rdc_dyn.comparison",
    "load_networks": "rdc_dyn.running.load_networks",
    "open_run": "rdc_dyn.store.run_directory",
    "open_sweep": "rdc_dyn.read.open_sweep",
    "resume": "rdc_dyn.running.resumption",
    "run": "rdc_dyn.running.runner",
    "surface": "rdc_dyn.sweeps",
    "sweep": "rdc_dyn.sweeps",
}

__all__ = [
    "Corrector",
    "DataError",
    "Objective",
    "Process",
    "Reader",
    "RunWarning",
    "Scenario",
    "ScenarioError",
    "Status",
    "UserError",
    "cite",
    "compare",
    "load_networks",
    "open_run",
    "open_sweep",
    "resume",
    "run",
    "surface",
    "sweep",
]

when_imported("xarray", "rdc_dyn.read.registered")


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return version("rdc-dyn")
    if name not in _PUBLIC:
        raise AttributeError(f"module 'rdc_dyn' has no attribute {name!r}")
    module, _, renamed = _PUBLIC[name].partition(":")
    value = getattr(import_module(module), renamed or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]

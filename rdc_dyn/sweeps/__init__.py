"""Run one scenario many times: a grid over its keys, workers here or on a cluster, one directory."""

from rdc_dyn.sweeps.api import Plan, SweepResult, plan, sweep
from rdc_dyn.sweeps.equilibrium_surface import surface

"""Build the parts of a problem from the sections of a scenario."""

from rdc_dyn.parts.evaluation import build_free_energy
from rdc_dyn.parts.networks import Ends, build_networks
from rdc_dyn.parts.numerics import (
    build_corrector,
    build_integrator,
    build_minimiser,
    build_monitor,
    build_preconditioner,
    build_solver,
    build_step_size,
    preconditioners,
)
from rdc_dyn.parts.objective import build_objective
from rdc_dyn.parts.own_modules import PARTS, Own, check_own, describe
from rdc_dyn.parts.process import build_process, build_start, singular_points
from rdc_dyn.parts.response import approximations, build_response, first_steps, pull, solves

__all__ = [
    "PARTS",
    "Ends",
    "Own",
    "approximations",
    "build_corrector",
    "build_free_energy",
    "build_integrator",
    "build_minimiser",
    "build_monitor",
    "build_networks",
    "build_objective",
    "build_preconditioner",
    "build_process",
    "build_response",
    "build_solver",
    "build_start",
    "build_step_size",
    "check_own",
    "describe",
    "first_steps",
    "preconditioners",
    "pull",
    "singular_points",
    "solves",
]

"""The run: first equilibrium, then segments that are integrated, corrected, and accepted or halved."""

from rdc_dyn.simulate.loop import simulate
from rdc_dyn.simulate.observe import noise_gap, to_record
from rdc_dyn.simulate.problem import Point, Problem, Watch

__all__ = ["Point", "Problem", "Watch", "noise_gap", "simulate", "to_record"]

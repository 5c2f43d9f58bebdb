"""Runs a process: finds the first equilibrium, then integrates and corrects segments, each accepted or halved."""

from rdc_dyn.simulate.frozen import Frozen, freeze, freeze_training, thaw, thaw_training
from rdc_dyn.simulate.loop import simulate
from rdc_dyn.simulate.observe import collapsed, noise_gap, saddle, to_record
from rdc_dyn.simulate.problem import Point, Problem, Training, Watch
from rdc_dyn.simulate.start import aimed

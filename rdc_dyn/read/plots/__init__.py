"""Figures of trajectories, one module each; none needs a display."""

from rdc_dyn.read.plots.over_clock import plot_dissipation, plot_losses, plot_residuals
from rdc_dyn.read.plots.path import plot_multipliers, plot_path
from rdc_dyn.read.plots.style import LABELS, Style, new_figure, save_figure, styles
from rdc_dyn.read.plots.surface import plot_surface
from rdc_dyn.read.plots.surface3d import plot_free_energy_surface, plot_surface3d
from rdc_dyn.read.plots.trajectory import plot_trajectory

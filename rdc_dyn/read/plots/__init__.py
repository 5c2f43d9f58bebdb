"""Figures of trajectories, none of which needs a display."""

from rdc_dyn.read.plots.style import LABELS, Style, new_figure, save_figure, styles
from rdc_dyn.read.plots.surface import plot_free_energy_surface, plot_surface, plot_surface3d
from rdc_dyn.read.plots.trajectory import (
    plot_dissipation,
    plot_losses,
    plot_multipliers,
    plot_path,
    plot_residuals,
    plot_trajectory,
)
from rdc_dyn.read.plots.work_precision import plot_work_precision

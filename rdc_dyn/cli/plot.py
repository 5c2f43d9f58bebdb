"""`rdc-dyn plot`: the figure of a run."""

from __future__ import annotations

from pathlib import Path

import click

from rdc_dyn.cli.shared import PLACE, load_matplotlib, tell
from rdc_dyn.status import DataError, UserError


@click.command()
@click.argument("run_directory", metavar="RUN", type=PLACE)
@click.option("-o", "--output", required=True, type=PLACE, help="Figure; .png, .pdf or .svg.")
def plot(run_directory: Path, output: Path) -> None:
    """Draw the R-D-C path, multipliers, losses and residuals of RUN, or F, R, D and C over the grid of a surface."""
    if output.suffix not in (".png", ".pdf", ".svg"):
        raise UserError(f"{output}: expected a figure name that ends in .png, .pdf or .svg")
    load_matplotlib()
    from rdc_dyn.read.plots import plot_surface, plot_trajectory, save_figure
    from rdc_dyn.read.surface import grid_of
    from rdc_dyn.store.run_directory import open_run

    trajectory = open_run(run_directory)
    if trajectory.sizes["time"] == 0:
        raise DataError(f"{run_directory}: the trajectory has no points ({trajectory.attrs.get('status_message')})")
    grid = grid_of(trajectory)
    save_figure(plot_trajectory(trajectory) if grid is None else plot_surface(grid), output)
    tell(f"wrote {output}")

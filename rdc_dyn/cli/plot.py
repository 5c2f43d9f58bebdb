"""`rdc-dyn plot`: the figure of a run."""

from __future__ import annotations

from pathlib import Path

import click

from rdc_dyn.cli.shared import reported
from rdc_dyn.status import DataError, UserError


@click.command()
@click.argument("run_directory", metavar="RUN", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Figure; .png, .pdf or .svg.")
@reported
def plot(run_directory: Path, output: Path) -> None:
    """Draw the R-D-C path, multipliers, losses and residuals of RUN."""
    if output.suffix not in (".png", ".pdf", ".svg"):
        raise UserError(f"{output}: expected a figure name that ends in .png, .pdf or .svg")
    from rdc_dyn.read.plots import plot_trajectory, save_figure
    from rdc_dyn.store.run_directory import open_run

    trajectory = open_run(run_directory)
    if trajectory.sizes["time"] == 0:
        raise DataError(f"{run_directory}: the trajectory has no points ({trajectory.attrs.get('status_message')})")
    try:
        save_figure(plot_trajectory(trajectory), str(output))
    except OSError as error:
        raise DataError(f"{output}: cannot write the figure ({error.strerror or error})") from None
    click.echo(f"wrote {output}")

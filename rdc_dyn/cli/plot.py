"""`rdc-dyn plot` and `report`: the figure, or one page, of a run, a sweep or a surface."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rdc_dyn.cli import completion
from rdc_dyn.cli.shared import PLACE, READS, Documented, load_matplotlib, tell
from rdc_dyn.status import DataError, UserError

if TYPE_CHECKING:
    import xarray as xr

    from rdc_dyn.read.plots.runs import Runs


@click.command(
    cls=Documented,
    examples=("rdc-dyn plot runs/my -o my.png --units bits", "rdc-dyn plot runs/my -o my.html"),
    exits=READS,
)
@click.argument("directory", metavar="RUN|SWEEP", type=PLACE, shell_complete=completion.run_or_sweep)
@click.option(
    "-o", "--output", required=True, type=PLACE, help="Figure; .png, .pdf, .svg, or .html for one that can be turned."
)
@click.option(
    "--units",
    default="nats",
    show_default=True,
    metavar="nats|bits",
    shell_complete=completion.units,
    help="Units of R, D, C, F and J.",
)
def plot(directory: Path, output: Path, units: str) -> None:
    """Draw path, multipliers, losses and residuals of a run or of the runs of a sweep.

    Of a surface it draws F, R, D and C over the grid. A page needs plotly: pip install 'rdc-dyn[view]'.
    """
    if output.suffix not in (".png", ".pdf", ".svg", ".html"):
        raise UserError(f"{output}: expected a figure name that ends in .png, .pdf, .svg or .html")
    load_matplotlib()
    from rdc_dyn.read.plots import plot_surface, plot_trajectory, save_figure
    from rdc_dyn.read.surface import grid_of
    from rdc_dyn.read.units import chosen

    asked, grid = chosen(units), None
    if (directory / "sweep.json").is_file():
        from rdc_dyn.read.report.sweep import drawn_runs
        from rdc_dyn.store.sweep_directory import read_sweep

        runs: Runs = drawn_runs(read_sweep(directory))
    else:
        runs = _run(directory)
        grid = grid_of(runs)
    if output.suffix == ".html":
        from rdc_dyn.read.plots.interactive import interactive_page, surface_page, trajectory_page
        from rdc_dyn.store.commit import commit

        figure = trajectory_page(runs, units=asked) if grid is None else surface_page(grid, units=asked)
        commit(output, interactive_page(figure).encode())
    else:
        figure = plot_trajectory(runs, units=asked) if grid is None else plot_surface(grid, units=asked)
        save_figure(figure, output)
    tell(f"wrote {output}")


def _run(directory: Path) -> xr.Dataset:
    from rdc_dyn.store.run_directory import open_run

    trajectory = open_run(directory)
    if trajectory.sizes["time"] == 0:
        raise DataError(f"{directory}: the trajectory has no points ({trajectory.attrs.get('status_message')})")
    return trajectory


@click.command(
    cls=Documented,
    examples=("rdc-dyn report runs/my -o my.html", "rdc-dyn report sweeps/my -o sweep.html"),
    exits=READS,
)
@click.argument("directory", metavar="RUN|SWEEP", type=PLACE, shell_complete=completion.run_or_sweep)
@click.option("-o", "--output", required=True, type=PLACE, help="Page to write; .html.")
@click.option("--interactive", is_flag=True, help="With a figure that one can turn (4.5 MB; needs plotly).")
def report(directory: Path, output: Path, interactive: bool) -> None:
    """Write one self-contained page on a run or a sweep: figures, tables, events, provenance."""
    if output.suffix not in (".html", ".htm"):
        raise UserError(f"{output}: expected the name of a page that ends in .html")
    if not output.parent.is_dir():
        raise DataError(f"{output}: there is no folder {output.parent}")
    load_matplotlib()
    from rdc_dyn.read.report import run_report
    from rdc_dyn.store.commit import commit

    swept = (directory / "sweep.json").is_file()
    page = _sweep_page(directory, interactive) if swept else run_report(_run(directory), interactive=interactive)
    commit(output, page.encode())
    tell(f"wrote {output}")


def _sweep_page(directory: Path, interactive: bool) -> str:
    from rdc_dyn.comparison import compare
    from rdc_dyn.read.report import sweep_report
    from rdc_dyn.store.sweep_directory import read_sweep

    sweep = read_sweep(directory)
    try:
        comparison, why = compare(directory), ""
    except UserError as error:  # too few runs, or no reference: the page says so
        comparison, why = None, str(error)
    return sweep_report(sweep, comparison, why, interactive=interactive)

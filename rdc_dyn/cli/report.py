"""`rdc-dyn report`: one page on a run or a sweep."""

from __future__ import annotations

from pathlib import Path

import click

from rdc_dyn.cli import completion
from rdc_dyn.cli.help import READS, Documented
from rdc_dyn.cli.shared import PLACE, load_matplotlib, tell
from rdc_dyn.status import DataError, UserError


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
    from rdc_dyn.read.report import write_page

    of = _of_sweep if (directory / "sweep.json").is_file() else _of_run
    write_page(of(directory, interactive), output)
    tell(f"wrote {output}")


def _of_run(directory: Path, interactive: bool) -> str:
    from rdc_dyn.read.report import run_report
    from rdc_dyn.store.run_directory import open_run

    trajectory = open_run(directory)
    try:
        return run_report(trajectory, interactive=interactive)
    except DataError as error:
        raise DataError(f"{directory}: {error}") from None


def _of_sweep(directory: Path, interactive: bool) -> str:
    from rdc_dyn.comparison import compare
    from rdc_dyn.read.report import sweep_report
    from rdc_dyn.store.sweep_directory import read_sweep

    sweep = read_sweep(directory)
    try:
        comparison, why = compare(directory), ""
    except UserError as error:  # too few runs, or no reference: the page says so
        comparison, why = None, str(error)
    return sweep_report(sweep, comparison, why, interactive=interactive)

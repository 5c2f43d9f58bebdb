"""`rdc-dyn compare`: errors, observed orders and costs of many runs."""

from pathlib import Path

import click

from rdc_dyn.cli import completion
from rdc_dyn.cli.shared import PLACE, READS, Documented, load_matplotlib, tell
from rdc_dyn.status import DataError, UserError

_FIGURES = (".png", ".pdf", ".svg")


@click.command(
    cls=Documented,
    examples=(
        "rdc-dyn compare sweeps/my -o work_precision.png",
        "rdc-dyn compare runs/a runs/b --reference finest --csv errors.csv",
    ),
    exits=READS,
)
@click.argument(
    "directories", metavar="DIR...", nargs=-1, required=True, type=PLACE, shell_complete=completion.run_or_sweep
)
@click.option("--reference", metavar="NAME", help="closed_form, finest, or a run (its name or a beginning of it).")
@click.option("--csv", "csv_file", type=PLACE, help="Write a row per run.")
@click.option("--netcdf", type=PLACE, help="Write the comparison as a dataset.")
@click.option("-o", "--output", type=PLACE, help="Work-precision figure; .png, .pdf or .svg.")
def compare(
    directories: tuple[Path, ...],
    reference: str | None,
    csv_file: Path | None,
    netcdf: Path | None,
    output: Path | None,
) -> None:
    """Compare the runs in DIR (a sweep, a folder of runs, or several): errors, observed orders, costs.

    The reference is the closed form where the objective has one, else the finest run.
    """
    _check(csv_file, netcdf, output)
    from rdc_dyn.comparison import compare as measure
    from rdc_dyn.comparison import show, write_csv

    comparison = measure(list(directories), reference)
    tell(show(comparison), nl=False)
    if csv_file is not None:
        write_csv(comparison, csv_file)
        tell(f"wrote {csv_file}")
    if netcdf is not None:
        from rdc_dyn.store.dataset import write_netcdf

        write_netcdf(comparison, netcdf)
        tell(f"wrote {netcdf}")
    if output is not None:
        load_matplotlib()
        from rdc_dyn.read.plots import plot_work_precision, save_figure

        save_figure(plot_work_precision(comparison), output)
        tell(f"wrote {output}")


def _check(csv_file: Path | None, netcdf: Path | None, figure: Path | None) -> None:
    """Refuse unwritable files before anything is computed: an unknown suffix (UserError), no folder (DataError)."""
    if figure is not None and figure.suffix not in _FIGURES:
        raise UserError(f"{figure}: expected a figure name that ends in .png, .pdf or .svg")
    for file in (csv_file, netcdf, figure):
        if file is not None and not file.resolve().parent.is_dir():
            raise DataError(f"{file}: its folder does not exist")

"""`rdc-dyn sweep`: run a scenario at every point of a grid."""

from __future__ import annotations

import signal
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rdc_dyn.cli import completion
from rdc_dyn.cli.shared import DEVICE, OVERRIDE, PLACE, QUIET, READS, SCENARIO, TRUST, Documented, ends, tell, terminate
from rdc_dyn.status import ExitCode, UserError, sentence

if TYPE_CHECKING:
    from rdc_dyn.sweeps import Plan, SweepResult


@click.command(
    cls=Documented,
    examples=(
        "rdc-dyn sweep my.yaml -o sweeps/my --jobs 2 \\",
        "    --grid integrator.method=euler,rk4 --grid integrator.step_size=0.1,0.05",
        "rdc-dyn sweep my.yaml -o sweeps/my --retry-failed",
    ),
    exits=READS | ends(ExitCode.SWEEP, ExitCode.SIGINT, ExitCode.SIGTERM),
)
@click.argument("scenario", type=SCENARIO)
@click.option(
    "--grid",
    "grid",
    multiple=True,
    metavar="KEY=VALUE,VALUE",
    shell_complete=completion.grid,
    help="Values of a key, such as integrator.step_size=0.1,0.05; every combination is a run. Replaces the scenario's "
    "own section sweep.",
)
@click.option("-o", "--output", type=PLACE, help="Sweep directory, new or begun.")
@OVERRIDE
@click.option("--jobs", type=click.IntRange(1), help="Worker processes on this machine; 1 if not given.")
@click.option("--dask", metavar="ADDRESS", help="Scheduler of dask.distributed whose workers to use instead.")
@click.option(
    "--threads", type=click.IntRange(1), help="CPU threads of each run; else the cores are shared by the jobs."
)
@DEVICE
@TRUST
@click.option("--fail-fast", is_flag=True, help="After the first failure begin nothing more.")
@click.option("--retry-failed", is_flag=True, help="Run again what has failed.")
@click.option("--add", is_flag=True, help="Add points to the sweep that is in the directory.")
@click.option("--dry-run", is_flag=True, help="Validate all points and list them, write nothing.")
@QUIET
def sweep(
    scenario: Path,
    grid: tuple[str, ...],
    output: Path | None,
    overrides: tuple[str, ...],
    jobs: int | None,
    dask: str | None,
    threads: int | None,
    dry_run: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Run SCENARIO at every point of a grid; a rerun does only what is missing."""
    if jobs is not None and dask is not None:
        raise UserError("--jobs and --dask: give one of the two")
    if output is None and not dry_run:
        raise UserError("-o: name the sweep directory")
    from rdc_dyn.sweeps import plan
    from rdc_dyn.sweeps import sweep as begin
    from rdc_dyn.sweeps.grid import command_line_grid
    from rdc_dyn.sweeps.progress import choose_progress
    from rdc_dyn.sweeps.workers import cluster

    made = plan(scenario, command_line_grid(grid), overrides)
    if output is None or dry_run:
        _list(made)
        return

    signal.signal(signal.SIGTERM, terminate)
    if dask is not None and threads is None:
        threads = 1  # a machine of a cluster hosts many workers
    options |= {"jobs": jobs or 1, "threads": threads, "progress": choose_progress(quiet)}
    with nullcontext() if dask is None else cluster(dask) as executor:
        result = begin(made, output=output, executor=executor, **options)
    _summarise(result)
    sys.exit(result.exit_code)


def _list(made: Plan) -> None:
    """List the points of a dry run."""
    from rdc_dyn.sweeps.progress import describe

    for point in made.points:
        tell(f"{point.name}  {describe(point.values)}")
    tell(f"{len(made.points)} points over {', '.join(made.keys)}")


def _summarise(result: SweepResult) -> None:
    """Say what failed, and how many points are done."""
    from rdc_dyn.sweeps.progress import describe

    for point in result.failed:
        ended = sentence(point.status, point.message, None)
        tell(f"failed: {point.name}  {describe(point.values)}: {ended}", err=True)
    missing = sum(point.state == "missing" for point in result.points)
    done = len(result.points) - len(result.failed) - missing
    rest = f", {len(result.failed)} failed (--retry-failed runs them again)" * bool(result.failed)
    rest += f", {missing} not run" * bool(missing)
    tell(f"{done} of {len(result.points)} points done in {result.path}{rest}", err=result.exit_code != 0)

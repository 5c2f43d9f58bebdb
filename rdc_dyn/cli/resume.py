"""`rdc-dyn resume`: continue a run."""

from __future__ import annotations

from pathlib import Path

import click

from rdc_dyn.cli import completion
from rdc_dyn.cli.help import RUNS, Documented
from rdc_dyn.cli.shared import DEVICE, MAX_TIME, PLACE, QUIET, TRUST, conclude, listen, tell
from rdc_dyn.status import Status


@click.command(cls=Documented, examples=("rdc-dyn resume runs/my", "rdc-dyn resume runs/my --max-time 50m"), exits=RUNS)
@click.argument("run_directory", metavar="RUN", type=PLACE, shell_complete=completion.run)
@DEVICE
@MAX_TIME
@TRUST
@click.option("--force", is_flag=True, help="Although scenario, program or data have changed; the trajectory says so.")
@QUIET
def resume(
    run_directory: Path, device: str | None, max_time: float | None, trust: bool, force: bool, quiet: bool
) -> None:
    """Continue RUN, a run that was killed, interrupted or stopped by a limit."""
    from rdc_dyn.running.progress import choose_progress
    from rdc_dyn.running.resumption import resume as go_on
    from rdc_dyn.store.run_directory import TRAJECTORY

    done = (run_directory / TRAJECTORY).is_file() and not force
    listen()
    progress = choose_progress(quiet)
    trajectory = go_on(run_directory, device=device, max_time=max_time, trust=trust, force=force, progress=progress)
    if done and trajectory.attrs["status"] == Status.COMPLETED.name and "source" in trajectory.encoding:
        tell(f"{run_directory}: the run is complete, nothing is left to do")
        return
    conclude(trajectory, run_directory)

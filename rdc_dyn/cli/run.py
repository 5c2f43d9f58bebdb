"""`rdc-dyn run`, `resume` and `surface`: what runs a scenario into a run directory."""

import math
import os
from pathlib import Path
from typing import Any

import click

from rdc_dyn.cli import completion
from rdc_dyn.cli.shared import (
    DEVICE,
    MAX_TIME,
    OVERRIDE,
    PLACE,
    QUIET,
    RUNS,
    SCENARIO,
    TRUST,
    Documented,
    conclude,
    listen,
    seconds,
    tell,
)
from rdc_dyn.status import Status


@click.command(
    cls=Documented,
    examples=(
        "rdc-dyn run digits_iso_classification -o runs/digits",
        "rdc-dyn run my.yaml -o runs/my --set integrator.step_size=0.05 --max-time 2h",
    ),
    exits=RUNS,
)
@click.argument("scenario", type=SCENARIO)
@click.option("-o", "--output", required=True, type=PLACE, help="Run directory to write.")
@OVERRIDE
@DEVICE
@MAX_TIME
@TRUST
@click.option("--dry-run", is_flag=True, help="Build everything, say what would run, write nothing.")
@QUIET
def run(scenario: Path, output: Path, overrides: tuple[str, ...], dry_run: bool, quiet: bool, **options: Any) -> None:
    """Run SCENARIO into the run directory given by -o."""
    from rdc_dyn import scenario as scenarios

    document = scenarios.read(scenario, overrides)
    loaded = scenarios.resolve(document)
    from rdc_dyn.store.run_directory import require_vacant

    # Of several processes, a late one would find the directory that the first has created; the run itself checks then.
    if os.environ.get("WORLD_SIZE", "1") == "1":
        require_vacant(output)
    from rdc_dyn.running.build import build
    from rdc_dyn.running.own_files import own_networks
    from rdc_dyn.running.progress import choose_progress
    from rdc_dyn.running.runner import run as begin

    if dry_run:
        folder = scenario.resolve().parent
        loaded, networks = own_networks(scenarios.absolute(loaded, folder), None, document, trust=options["trust"])
        _describe(build(loaded, folder, options["device"], networks), output)
        return
    listen()
    conclude(begin(document, output, progress=choose_progress(quiet), **options), output)


def _describe(built: Any, output: Path) -> None:
    """Say what would run."""
    problem = built.problem
    start, end = problem.process.span
    segments = abs(end - start) / problem.step_size.nominal
    tell(f"parameters   {problem.free_energy.objective.size}")
    tell(f"device       {built.device}")
    tell(f"data digest  {built.data_digest}")
    tell(f"integrator   {problem.integrator.method}, {segments:.0f} segments of {problem.step_size.nominal:g}")
    tell(f"would write  {output}")


@click.command(cls=Documented, examples=("rdc-dyn resume runs/my", "rdc-dyn resume runs/my --max-time 50m"), exits=RUNS)
@click.argument("run_directory", metavar="RUN", type=PLACE, shell_complete=completion.run)
@DEVICE
@MAX_TIME
@TRUST
@click.option("--force", is_flag=True, help="Although scenario, program or data have changed; the trajectory says so.")
@QUIET
def resume(run_directory: Path, force: bool, quiet: bool, **options: Any) -> None:
    """Continue RUN, a run that was killed, interrupted or stopped by a limit."""
    from rdc_dyn.running.progress import choose_progress
    from rdc_dyn.running.resumption import resume as go_on
    from rdc_dyn.store.run_directory import TRAJECTORY

    done = (run_directory / TRAJECTORY).is_file() and not force
    listen()
    trajectory = go_on(run_directory, force=force, progress=choose_progress(quiet), **options)
    if done and trajectory.attrs["status"] == Status.COMPLETED.name and "source" in trajectory.encoding:
        tell(f"{run_directory}: the run is complete, nothing is left to do")
        return
    conclude(trajectory, run_directory)


def _axis(context: click.Context, parameter: click.Parameter, value: str) -> list[float]:
    """Callback of an option that takes 0.1:2:9 (nine values), 1:16:9:log, or single values with commas."""
    try:
        if ":" not in value:
            return [float(part) for part in value.split(",")]
        first, last, count, *spacing = value.split(":")
        low, high, number = float(first), float(last), int(count)
        if number < 2 or spacing not in ([], ["log"]) or (spacing and min(low, high) <= 0):
            raise ValueError
    except ValueError:
        message = f"{value!r} is no axis; expected for example 0.1:2:9, 1:16:9:log or 1,2,4"
        raise click.BadParameter(message) from None
    shares = [k / (number - 1) for k in range(number)]
    if spacing:
        inner = [math.exp((1 - t) * math.log(low) + t * math.log(high)) for t in shares]
    else:
        inner = [(1 - t) * low + t * high for t in shares]
    return [low, *inner[1:-1], high]


@click.command(
    cls=Documented, examples=("rdc-dyn surface my.yaml --lam 0.1:2:9 --gamma 1:16:9:log -o runs/surface",), exits=RUNS
)
@click.argument("scenario", type=SCENARIO)
@click.option("--lam", required=True, callback=_axis, metavar="FROM:TO:N[:log]", help="Values of lam, as 0.1:2:9.")
@click.option("--gamma", required=True, callback=_axis, metavar="FROM:TO:N[:log]", help="Values of gamma.")
@click.option("-o", "--output", required=True, type=PLACE, help="Run directory to write.")
@OVERRIDE
@DEVICE
@click.option("--max-time", callback=seconds, metavar="TIME", help="Stop at the next node after 90s, 50m, 2h, ...")
@TRUST
@QUIET
def surface(
    scenario: Path,
    lam: list[float],
    gamma: list[float],
    output: Path,
    overrides: tuple[str, ...],
    quiet: bool,
    **options: Any,
) -> None:
    """Equilibrate SCENARIO at every node of a grid of (lam, gamma), each from the one before.

    The directory is that of a run: `rdc-dyn resume` goes on with it, and in Python open_run(OUTPUT).rdc.surface() is
    the surface.
    """
    from rdc_dyn import scenario as scenarios
    from rdc_dyn.store.run_directory import require_vacant

    require_vacant(output)
    from rdc_dyn.read.surface import concavity_gap
    from rdc_dyn.read.surface import surface as as_surface
    from rdc_dyn.running.progress import choose_progress
    from rdc_dyn.running.runner import run as begin
    from rdc_dyn.sweeps.equilibrium_surface import on_grid

    document = on_grid(scenarios.read(scenario), lam, gamma, overrides)
    listen()
    trajectory = begin(document, output, progress=choose_progress(quiet), **options)
    if trajectory.attrs["status"] == "COMPLETED":
        gap = concavity_gap(as_surface(trajectory))
        where = {name: float(gap[name][index]) for name, index in gap.argmax(("lam", "gamma")).items()}
        above = f" but for {float(gap.max()):.3g} nat at lam = {where['lam']:.6g}, gamma = {where['gamma']:.6g}"
        tell(f"{len(lam)} x {len(gamma)} equilibria; F is concave" + (above if float(gap.max()) > 0 else ""))
    conclude(trajectory, output)

"""`rdc-dyn run`: run a scenario into a run directory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from rdc_dyn.cli.help import RUNS, Documented
from rdc_dyn.cli.shared import DEVICE, MAX_TIME, OVERRIDE, PLACE, QUIET, SCENARIO, TRUST, conclude, listen, tell


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
def run(
    scenario: Path,
    output: Path,
    overrides: tuple[str, ...],
    device: str | None,
    max_time: float | None,
    trust: bool,
    dry_run: bool,
    quiet: bool,
) -> None:
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
    from rdc_dyn.running.runner import run_scenario

    folder = scenario.resolve().parent
    if dry_run:
        loaded, networks = own_networks(scenarios.absolute(loaded, folder), None, document, trust=trust)
        _describe(build(loaded, folder, device, networks), output)
        return

    listen()
    trajectory = run_scenario(
        loaded,
        folder,
        output,
        document=document,
        device=device,
        max_time=max_time,
        progress=choose_progress(quiet),
        trust=trust,
    )
    conclude(trajectory, output)


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

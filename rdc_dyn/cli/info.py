"""`rdc-dyn info` and `verify`: provenance and summary of a run, and whether it is sound."""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rdc_dyn.cli import completion
from rdc_dyn.cli.shared import LIGHT, PLACE, READS, Documented, tell
from rdc_dyn.status import ExitCode, sentence

if TYPE_CHECKING:
    import xarray as xr


@click.command(
    cls=Documented, examples=("rdc-dyn info runs/my", "rdc-dyn info runs/my --scenario > again.yaml"), exits=READS
)
@click.argument("run_directory", metavar="RUN", type=PLACE, shell_complete=completion.run)
@click.option(
    "--scenario", "scenario_only", is_flag=True, help="Print the YAML that made it, for a file in this folder."
)
def info(run_directory: Path, scenario_only: bool) -> None:
    """Print provenance and summary of RUN."""
    from rdc_dyn.store.run_directory import open_run

    trajectory = open_run(run_directory)
    if scenario_only:
        _rerunnable(trajectory.attrs["scenario"])
        return
    attributes = trajectory.attrs
    hidden = {"events", "scenario", "Conventions", "references", "status", "status_message", "status_detail"}
    width = max(len(name) for name in attributes)
    for name, value in attributes.items():
        if name not in hidden:
            tell(f"{name:<{width}}  {value}")
    status, detail = attributes["status"], attributes.get("status_detail")
    tell(f"{'status':<{width}}  {sentence(status, attributes['status_message'], detail)}")
    import numpy as np

    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # numbers that overflow are shown as they are
        for line in _summary(trajectory):
            tell(line)


def _rerunnable(text: str) -> None:
    """Print the scenario as a file for the working folder, and on standard error what it needs besides."""
    from rdc_dyn import scenario as scenarios
    from rdc_dyn.scenario.sources import modules_of_files

    try:
        scenario, needed = scenarios.portable(scenarios.loads(text), Path.cwd())
    except scenarios.ScenarioError:  # from another version of the program, or malformed: shown as it is
        tell(text, nl=False)
        return
    tell(scenarios.dump(scenario), nl=False)
    outside = "files outside this folder; " * bool(needed)
    needed += ["--trust"] * bool(modules_of_files(scenario))
    if needed:
        tell(f"rdc-dyn: {outside}to run it again give {', '.join(needed)}", err=True)


_SHOWN = (
    "time",
    "lam",
    "gamma",
    "rate",
    "distortion",
    "classification_loss",
    "free_energy",
    "accuracy",
    "code_accuracy",
    "validation_code_accuracy",
)


def _summary(trajectory: xr.Dataset) -> Iterable[str]:
    """First and last values, and the largest residuals of the identities."""
    import numpy as np

    from rdc_dyn.read.shown import jumps_in_words, note

    if trajectory.sizes["time"] == 0:
        yield "no points"
        return
    yield f"\n{'':28}{'first':>14}{'last':>14}"
    for name in _SHOWN:
        values = trajectory[name].values if name in trajectory else np.array([math.nan])
        if not all(math.isnan(value) for value in values):
            yield f"{name:28}{values[0]:14.6g}{values[-1]:14.6g}"
    if below := note(trajectory):
        yield below
    yield f"\n{'points':28}{trajectory.sizes['time']:>14}{jumps_in_words(trajectory)}"
    for name in ("gradient_evaluations", "hessian_vector_products", "vector_field_evaluations"):
        yield f"{name:28}{trajectory[name].values[-1]:14.0f}"
    worst = {
        "largest |grad J|": trajectory.equilibrium_residual,
        "largest |held - start|": abs(trajectory.constraint_residual),
        "largest Maxwell residual": trajectory.rdc.maxwell_residual(),
        "largest free-energy closure": abs(trajectory.rdc.free_energy_closure()),
    }
    for name, residual in worst.items():
        if bool(residual.notnull().any()):
            yield f"{name:28}{float(residual.max()):14.2e}"
    yield from _lost(trajectory)


def _lost(trajectory: xr.Dataset) -> Iterable[str]:
    """What the path has dissipated, also as a share of its work, and what its last point still loses per epoch."""
    if "dissipation" not in trajectory:
        return
    lost, error = (float(trajectory[name].values[-1]) for name in ("dissipation", "dissipation_error"))
    work = abs(float(trajectory.free_energy.values[-1] - trajectory.free_energy.values[0]) + lost)
    yield f"{'dissipation':28}{lost:14.2e}"
    yield f"{'error of the dissipation':28}{error:14.2e}"
    if work > 0:
        yield f"{'dissipation / work':28}{lost / work:14.2%}"
    if "ageing" in trajectory:
        yield f"{'ageing (nat an epoch)':28}{float(trajectory.ageing.values[-1]):14.2e}"


@click.command(
    cls=Documented,
    examples=("rdc-dyn verify runs/my",),
    exits=LIGHT
    | {ExitCode.NUMERICAL: "an identity of the theory does not hold", ExitCode.DATA: "a file is damaged or missing"},
)
@click.argument("run_directory", metavar="RUN", type=PLACE, shell_complete=completion.run)
def verify(run_directory: Path) -> None:
    """Check all digests of RUN, its clock and the identities of the theory."""
    from rdc_dyn.read.verify import verify as look

    found = look(run_directory)
    width = max(len(finding.name) for finding in found)
    for finding in found:
        tell(f"{finding.verdict:<6}  {finding.name:<{width}}  {finding.detail}")
    failed = {finding.kind for finding in found if finding.verdict == "FAILED"}
    sys.exit(ExitCode.DATA if "files" in failed else ExitCode.NUMERICAL if failed else ExitCode.COMPLETE)

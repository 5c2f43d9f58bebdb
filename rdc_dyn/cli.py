"""The command `rdc-dyn`; the light commands import neither torch nor xarray."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import sys
import warnings
from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

import click

from rdc_dyn.output.provenance import program_version
from rdc_dyn.status import Status, UserError

if TYPE_CHECKING:
    import xarray as xr

_OVERRIDE = click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key, such as integrator.step_size=0.05."
)


def _tell(text: str, *, err: bool = False) -> None:
    """Say something; of the processes that torchrun starts on a machine the first speaks for all."""
    if os.environ.get("LOCAL_RANK", "0") == "0":
        click.echo(text, err=err)


def _reported(command: Callable[..., Any]) -> Callable[..., Any]:
    """Turn a user's mistake into its line and exit code, without a traceback."""

    @wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except UserError as error:
            _tell(f"rdc-dyn: {error}" if "\n" not in str(error) else str(error), err=True)
            sys.exit(error.exit_code)
        except KeyboardInterrupt as signal_:  # outside the loop of a run, which has an ending of its own
            _tell("rdc-dyn: stopped by a signal", err=True)
            sys.exit(getattr(signal_, "exit_code", 130))

    return wrapper


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(program_version(), prog_name="rdc-dyn")
def main() -> None:
    """Dynamics on the rate-distortion-classification surface of a model."""


@main.command()
@click.argument("name", default="digits")
@_reported
def init(name: str) -> None:
    """Print a commented scenario to start from (NAME: see `rdc-dyn list templates`)."""
    from rdc_dyn.scenario import template

    click.echo(template(name), nl=False)


@main.command()
@click.argument("scenario", type=click.Path(path_type=Path))
@_OVERRIDE
@_reported
def validate(scenario: Path, overrides: tuple[str, ...]) -> None:
    """Check SCENARIO and list all its errors with file:line:column."""
    from rdc_dyn.scenario import load

    loaded = load(scenario, overrides)
    click.echo(f"{scenario}: valid ({loaded.objective.kind}, {loaded.process.kind}, {loaded.integrator.method})")


@main.command()
def schema() -> None:
    """Print the JSON schema of scenarios, for editors."""
    from rdc_dyn.scenario import json_schema

    click.echo(json.dumps(json_schema(), indent=2))


@main.command("list")
@click.argument("kind", required=False)
@_reported
def list_(kind: str | None) -> None:
    """List what can be chosen; KIND narrows it to objectives, integrators, ..."""
    from rdc_dyn.scenario import catalogue

    everything = catalogue()
    if kind is not None and kind not in everything:
        raise UserError(f"list: there is no kind {kind!r}; choose one of {', '.join(everything)}")
    for name, members in everything.items():
        if kind in (None, name):
            click.secho(name, bold=True)
            width = max(len(member) for member, _ in members)
            for member, text in members:
                click.echo(f"  {member:<{width}}  {text.rstrip('.')}")


def _seconds(context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    """50m, 2h, 90s or a plain number of seconds."""
    if value is None:
        return None
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([smhd]?)", value)
    if match is None or float(match[1]) == 0:
        raise click.BadParameter(f"{value!r} is no duration; expected for example 90s, 50m or 2h")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]]


@main.command()
@click.argument("scenario", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Run directory to write.")
@_OVERRIDE
@click.option("--device", help="cpu, cuda or cuda:N instead of the scenario's.")
@click.option("--max-time", callback=_seconds, metavar="TIME", help="Stop at the next point after 90s, 50m, 2h, ...")
@click.option("--dry-run", is_flag=True, help="Build everything, say what would run, write nothing.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@_reported
def run(
    scenario: Path,
    output: Path,
    overrides: tuple[str, ...],
    device: str | None,
    max_time: float | None,
    dry_run: bool,
    quiet: bool,
) -> None:
    """Run SCENARIO into the run directory given by -o."""
    from rdc_dyn.scenario import load

    loaded = load(scenario, overrides)
    # Of several processes a late one would look when the first has made it; so they leave this to the run itself.
    if os.environ.get("WORLD_SIZE", "1") == "1" and output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UserError(f"{output}: already exists and is not empty; name another run directory with -o")
    from rdc_dyn.build import build
    from rdc_dyn.output.progress import choose_progress
    from rdc_dyn.runner import Interrupted, RunWarning, run_scenario

    folder = scenario.resolve().parent
    if dry_run:
        _describe(build(loaded, folder, device), output)
        return

    def terminate(number: int, frame: FrameType | None) -> NoReturn:
        raise Interrupted

    signal.signal(signal.SIGTERM, terminate)
    warnings.simplefilter("ignore", RunWarning)  # the progress display says it
    trajectory = run_scenario(loaded, folder, output, device=device, max_time=max_time, progress=choose_progress(quiet))
    status = Status[trajectory.attrs["status"]]
    detail = trajectory.attrs["status_detail"]
    _tell(_sentence(status.name, status.value, detail), err=status is not Status.COMPLETED)
    _tell(f"{trajectory.sizes['time']} points in {output}", err=status is not Status.COMPLETED)
    sys.exit(143 if detail == "SIGTERM" else status.exit_code)


def _describe(built: Any, output: Path) -> None:
    """What a dry run tells."""
    problem = built.problem
    start, end = problem.process.span
    segments = abs(end - start) / problem.step_size.nominal
    _tell(f"parameters   {problem.free_energy.objective.size}")
    _tell(f"device       {built.device}")
    _tell(f"data digest  {built.data_digest}")
    _tell(f"integrator   {problem.integrator.method}, {segments:.0f} segments of {problem.step_size.nominal:g}")
    _tell(f"would write  {output}")


@main.command()
@click.argument("scenario", required=False, type=click.Path(path_type=Path))
@_OVERRIDE
@click.option("--device", help="cpu, cuda or cuda:N instead of the scenario's.")
@_reported
def doctor(scenario: Path | None, overrides: tuple[str, ...], device: str | None) -> None:
    """Describe this machine, or check the derivatives of SCENARIO and measure what they cost."""
    if scenario is None and overrides:
        raise UserError("doctor: --set overrides a key of a scenario, and none was given")
    if scenario is None:
        from rdc_dyn.doctor import machine, show

        show((), machine(device))
        return
    from rdc_dyn.scenario import load

    loaded = load(scenario, overrides)
    from rdc_dyn.doctor import diagnose, show

    report = diagnose(loaded, scenario.resolve().parent, device)
    show(report.checks, report.measures)
    sys.exit(0 if report.healthy else 3)


@main.command()
@click.argument("run_directory", metavar="RUN", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Figure; .png, .pdf or .svg.")
@_reported
def plot(run_directory: Path, output: Path) -> None:
    """Draw the R-D-C path, multipliers, losses and residuals of RUN."""
    if output.suffix not in (".png", ".pdf", ".svg"):
        raise UserError(f"{output}: expected a figure name that ends in .png, .pdf or .svg")
    from rdc_dyn.output.plot import plot_trajectory, save_figure
    from rdc_dyn.output.run_directory import open_run
    from rdc_dyn.status import DataError

    trajectory = open_run(run_directory)
    if trajectory.sizes["time"] == 0:
        raise DataError(f"{run_directory}: the trajectory has no points ({trajectory.attrs.get('status_message')})")
    try:
        save_figure(plot_trajectory(trajectory), str(output))
    except OSError as error:
        raise DataError(f"{output}: cannot write the figure ({error.strerror or error})") from None
    click.echo(f"wrote {output}")


@main.command()
@click.argument("run_directory", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--scenario", "scenario_only", is_flag=True, help="Print the YAML that made it, and nothing else.")
@_reported
def info(run_directory: Path, scenario_only: bool) -> None:
    """Print provenance and summary of RUN."""
    from rdc_dyn.output.run_directory import open_run

    trajectory = open_run(run_directory)
    if scenario_only:
        click.echo(trajectory.attrs["scenario"], nl=False)
        return
    attributes = trajectory.attrs
    hidden = {"scenario", "Conventions", "references", "status", "status_message", "status_detail"}
    width = max(len(name) for name in attributes)
    for name, value in attributes.items():
        if name not in hidden:
            click.echo(f"{name:<{width}}  {value}")
    status, detail = attributes["status"], attributes.get("status_detail")
    click.echo(f"{'status':<{width}}  {_sentence(status, attributes['status_message'], detail)}")
    for line in _summary(trajectory):
        click.echo(line)


def _sentence(status: str, message: str, detail: str | None) -> str:
    """How a run ended, in words."""
    return f"{status.lower().replace('_', ' ')}: {message}" + (f" ({detail})" if detail else "")


def _summary(trajectory: xr.Dataset) -> Iterable[str]:
    """First and last values, and the identities."""
    if trajectory.sizes["time"] == 0:
        yield "no points"
        return
    yield f"\n{'':28}{'first':>14}{'last':>14}"
    for name in ("time", "lam", "gamma", "rate", "distortion", "classification_loss", "free_energy", "accuracy"):
        values = trajectory[name].values
        if not all(math.isnan(value) for value in values):
            yield f"{name:28}{values[0]:14.6g}{values[-1]:14.6g}"
    yield f"\n{'points':28}{trajectory.sizes['time']:>14}"
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


if __name__ == "__main__":
    main()

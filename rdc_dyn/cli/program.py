"""The command `rdc-dyn`, whose light commands import neither torch nor xarray."""

from __future__ import annotations

import json
from pathlib import Path

import click

from rdc_dyn.cli import compare, doctor, info, plot, report, resume, run, surface, sweep, verify
from rdc_dyn.cli.shared import OVERRIDE, PLACE, SCENARIO, Program, tell
from rdc_dyn.status import UserError
from rdc_dyn.store.provenance import program_version


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(program_version(), prog_name="rdc-dyn")
def main() -> None:
    """Dynamics on the rate-distortion-classification surface of a model."""


@main.command()
@click.argument("name", default="digits")
@click.option("-o", "--output", type=PLACE, help="File to write, which must not exist; else the scenario is printed.")
def init(name: str, output: Path | None) -> None:
    """Print a commented scenario to start from (NAME: see `rdc-dyn list templates` and `rdc-dyn list examples`)."""
    from rdc_dyn.scenario import example, template

    found = example(name)
    text = template(name) if found is None else found.read_text("utf-8")
    if output is None:
        tell(text, nl=False)
        return
    try:
        with output.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise UserError(f"{output}: not written: {error.strerror}") from None
    tell(f"wrote {output}")


@main.command()
@click.argument("scenario", type=SCENARIO)
@OVERRIDE
@click.option("--data", is_flag=True, help="Read the data too: list all that is wrong with them, or say what they are.")
def validate(scenario: Path, overrides: tuple[str, ...], data: bool) -> None:
    """Check SCENARIO and list all its errors with file:line:column."""
    from rdc_dyn import scenario as scenarios
    from rdc_dyn.scenario.sources import modules_of_files, pinned

    document, folder = scenarios.read(scenario, overrides), scenario.resolve().parent
    loaded = pinned(scenarios.absolute(scenarios.resolve(document), folder), document)
    said = [f"{scenario}: valid ({loaded.objective.kind}, {loaded.process.kind}, {loaded.integrator.method})"]
    files = dict.fromkeys(part.file.name for part in modules_of_files(loaded).values())
    said += [f"the code of {', '.join(files)} was not run"] * bool(files)
    if data:
        from rdc_dyn.running.data_check import look

        said.append(look(loaded, document, folder))
    tell("; ".join(said))


@main.command()
def schema() -> None:
    """Print the JSON schema of scenarios, for editors."""
    from rdc_dyn.scenario import json_schema

    tell(json.dumps(json_schema(), indent=2))


@main.command("list")
@click.argument("kind", required=False)
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
                tell(f"  {member:<{width}}  {text.rstrip('.')}")


for _command in (
    run.run,
    resume.resume,
    verify.verify,
    doctor.doctor,
    plot.plot,
    info.info,
    sweep.sweep,
    surface.surface,
    compare.compare,
    report.report,
):
    main.add_command(_command)

if __name__ == "__main__":
    main()

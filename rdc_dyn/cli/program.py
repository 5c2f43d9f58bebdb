"""The command `rdc-dyn`, whose light commands import neither torch nor xarray."""

import json
from collections.abc import Iterable
from pathlib import Path

import click

from rdc_dyn.cli import compare, completion, doctor, info, plot, run, shells, sweep
from rdc_dyn.cli.shared import LIGHT, OVERRIDE, PLACE, READS, SCENARIO, Program, ends, tell
from rdc_dyn.status import ExitCode, UserError
from rdc_dyn.store.provenance import program_version

#: A file of this name beside a new scenario is what its modeline points editors to.
SCHEMA = "rdc_dyn.schema.json"
shells.register()


def _kinds() -> Iterable[str]:
    from rdc_dyn.scenario import catalogue

    return catalogue()


def _templates() -> Iterable[str]:
    from rdc_dyn.scenario import templates

    return templates()


@click.group(
    cls=Program,
    context_settings={"help_option_names": ["-h", "--help"]},
    examples=("rdc-dyn init vae -o my.yaml", "rdc-dyn run my.yaml -o runs/my", "rdc-dyn plot runs/my -o my.png"),
    exits=ends(*ExitCode),
)
@click.version_option(program_version(), prog_name="rdc-dyn")
def main() -> None:
    """Dynamics on the rate-distortion-classification surface of a model."""


@main.command(
    examples=("rdc-dyn init vae -o my.yaml", "rdc-dyn init digits_prescribed -o my.yaml"),
    words={"Templates": _templates},
    exits=LIGHT,
)
@click.argument("name", default="digits", shell_complete=completion.start)
@click.option("-o", "--output", type=PLACE, help="File to write, which must not exist; else the scenario is printed.")
def init(name: str, output: Path | None) -> None:
    """Print the template or shipped example NAME, a commented scenario to start from; `rdc-dyn list` names them all.

    If the folder of -o holds rdc_dyn.schema.json (see `rdc-dyn schema -o`), the first line names it for editors.
    """
    from rdc_dyn.scenario import example, template

    found = example(name)
    text = template(name) if found is None else found.read_text("utf-8")
    if output is None:
        tell(text, nl=False)
        return
    if (output.parent / SCHEMA).is_file():
        text = f"# yaml-language-server: $schema={SCHEMA}\n{text}"
    try:
        with output.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise UserError(f"{output}: not written: {error.strerror}") from None
    tell(f"wrote {output}")


@main.command(
    examples=("rdc-dyn validate my.yaml --data", "rdc-dyn validate digits_prescribed --set integrator.method=rk4"),
    exits=READS,
)
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


@main.command(examples=(f"rdc-dyn schema -o {SCHEMA}",), exits=READS)
@click.option("-o", "--output", type=PLACE, help=f"File to write, such as {SCHEMA}; else the schema is printed.")
def schema(output: Path | None) -> None:
    """Print the JSON schema of scenarios, for editors."""
    from rdc_dyn.scenario import json_schema
    from rdc_dyn.store.commit import commit

    text = json.dumps(json_schema(), indent=2)
    if output is None:
        tell(text)
        return
    commit(output, f"{text}\n".encode())
    tell(f"wrote {output}")


@main.command(
    "list", examples=("rdc-dyn list", "rdc-dyn list integrators"), words={"Values of KIND": _kinds}, exits=LIGHT
)
@click.argument("kind", required=False, shell_complete=completion.kind)
def list_(kind: str | None) -> None:
    """List what can be chosen; KIND narrows it to one of the words below."""
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
    run.resume,
    info.verify,
    doctor.doctor,
    plot.plot,
    info.info,
    sweep.sweep,
    run.surface,
    compare.compare,
    plot.report,
):
    main.add_command(_command)

if __name__ == "__main__":
    main()

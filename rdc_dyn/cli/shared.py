"""What all subcommands share: options, help, messages, signals and durations."""

from __future__ import annotations

import os
import re
import signal
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

import click
from click.shell_completion import CompletionItem

from rdc_dyn.cli import completion
from rdc_dyn.status import DataError, ExitCode, RunWarning, Status, Terminated, UserError, plain, sentence

if TYPE_CHECKING:
    import xarray as xr


def ends(*codes: ExitCode) -> dict[ExitCode, str]:
    """Exit codes with what they mean."""
    return {code: code.meaning for code in codes}


#: Ends of commands that only look things up, that read runs, and that run something.
LIGHT = ends(ExitCode.COMPLETE, ExitCode.USAGE)
READS = LIGHT | ends(ExitCode.DATA)
RUNS = READS | ends(ExitCode.NUMERICAL, ExitCode.LIMIT, ExitCode.SIGINT, ExitCode.SIGTERM)


class Documented(click.Command):
    """A command whose help ends with examples, lists of words under their titles, and exit codes."""

    def __init__(
        self,
        *args: Any,
        examples: Sequence[str] = (),
        words: Mapping[str, Callable[[], Iterable[str]]] | None = None,
        exits: Mapping[ExitCode, str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.examples, self.words, self.exits = examples, words or {}, exits or {}

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write them; words are looked up only now, for they take longer than the other helps."""
        super().format_epilog(ctx, formatter)
        if self.examples:
            with formatter.section("Examples"):
                for line in self.examples:
                    formatter.write(f"{'':{formatter.current_indent}}{line}\n")
        for title, look_up in self.words.items():
            with formatter.section(title):
                formatter.write_text(", ".join(look_up()))
        if self.exits:
            with formatter.section("Exit codes"):
                formatter.write_dl([(str(int(code)), self.exits[code]) for code in sorted(self.exits)])


#: Option that overrides single keys of a scenario.
OVERRIDE = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    shell_complete=completion.override,
    help="Override a key, such as integrator.step_size=0.05.",
)

#: Option without which no code of a file runs.
TRUST = click.option(
    "--trust", is_flag=True, help="Run the code of files that the scenario names, as objective.encoder.path."
)


def tell(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print a message; of the processes that torchrun starts on one machine, only the first does."""
    if os.environ.get("LOCAL_RANK", "0") == "0":
        click.echo(plain(text), err=err, nl=nl)


class Place(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.5 only
    """A file or folder; `~` is the home folder also where no shell expands it, and the name must be text."""

    name = "path"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> completion.Items:
        """Files, which the shell knows."""
        return [CompletionItem(incomplete, type="file")]

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The path; bytes that are no UTF-8 are refused, since netCDF has no such names."""
        name = os.fspath(value)
        try:
            name.encode()
        except UnicodeEncodeError:
            self.fail(f"{os.fsencode(name)!r} is no name in UTF-8", param, ctx)
        return Path(os.path.expanduser(name))


class ScenarioFile(Place):
    """The file of a scenario, or the name of a shipped one."""

    name = "scenario"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The path; what looks like a file is left to whoever reads it."""
        from rdc_dyn.scenario import located

        return located(super().convert(value, param, ctx))

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> completion.Items:
        """Shipped examples, and files."""
        return completion.scenario(ctx, param, incomplete)


PLACE, SCENARIO = Place(), ScenarioFile()


class Program(Documented, click.Group):
    """A group of commands: what is wrong becomes one line and an exit code, without a traceback."""

    command_class = Documented

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command, and say in one line what stopped it."""
        try:
            return super().invoke(ctx)
        except UserError as error:
            tell(f"rdc-dyn: {error}" if "\n" not in str(error) else str(error), err=True)
            sys.exit(error.exit_code)
        except MemoryError as error:
            tell(f"rdc-dyn: the machine has too little memory ({error})", err=True)
            sys.exit(Status.OUT_OF_MEMORY.exit_code)
        except KeyboardInterrupt as signal_:  # outside the loop of a run, which handles signals itself
            tell("rdc-dyn: stopped by a signal", err=True)
            sys.exit(getattr(signal_, "exit_code", ExitCode.SIGINT))
        except OSError as error:
            _stopped_by(error)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the program on whatever output it is given: a full disk, a pipe that ends early, a closed one, ASCII."""
        for name in ("stdout", "stderr"):
            if getattr(sys, name) is None:
                setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115  # for as long as the program runs
            getattr(sys, name).reconfigure(errors="backslashreplace")
        try:
            try:
                return super().main(*args, **kwargs)
            finally:
                sys.stdout.flush()
        except OSError as error:
            _stopped_by(error)


def _stopped_by(error: OSError) -> NoReturn:
    """Say which file or output failed; the end of a pipe that is not read any more needs no words."""
    with suppress(OSError):  # what standard output still holds would fail again when the interpreter ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        sys.exit(128 + signal.SIGPIPE)
    name = "standard output" if error.filename is None else str(error.filename)
    tell(f"rdc-dyn: {name if len(name) < 200 else name[:200] + '...'}: {error.strerror or error}", err=True)
    sys.exit(ExitCode.DATA)


def load_matplotlib() -> None:
    """Load matplotlib to write files, with no display; DataError if a matplotlibrc keeps it from loading."""
    os.environ["MPLBACKEND"] = "agg"
    try:
        import matplotlib  # noqa: F401
    except (OSError, ValueError) as error:
        raise DataError(f"matplotlib does not load; mend or remove its matplotlibrc ({error})") from None


def terminate(number: int, frame: FrameType | None) -> NoReturn:
    """Handler of SIGTERM."""
    raise Terminated


def listen() -> None:
    """Let SIGINT and SIGTERM end a run with a checkpoint, and a second SIGINT end it at once."""
    from rdc_dyn.running.signals import end_at_second_interrupt

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        signal.signal(signal.SIGINT, lambda number, frame: None)
        raise KeyboardInterrupt

    if os.environ.get("WORLD_SIZE", "1") == "1":  # torchrun sends to each process what the terminal has sent already
        end_at_second_interrupt()
    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGTERM, terminate)
    warnings.simplefilter("ignore", RunWarning)  # the progress display shows it


def conclude(trajectory: xr.Dataset, path: Path) -> NoReturn:
    """Say how a run ended, and exit with its exit code."""
    status, detail = Status[trajectory.attrs["status"]], trajectory.attrs["status_detail"]
    failed = status is not Status.COMPLETED
    tell(sentence(status.name, status.value, detail), err=failed)
    from rdc_dyn.read.shown import jumps_in_words
    from rdc_dyn.store.run_directory import checkpoints

    tell(f"{trajectory.sizes['time']} points in {path}{jumps_in_words(trajectory)}", err=failed)
    if status in (Status.TIME_LIMIT, Status.INTERRUPTED):
        what = "goes on from here" if checkpoints(path) else "begins again, for nothing was computed yet"
        tell(f"rdc-dyn resume {path} {what}", err=True)
    sys.exit(ExitCode.SIGTERM if detail == "SIGTERM" else status.exit_code)


def seconds(context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    """Callback of an option that takes 90s, 50m, 2h, 1d or a plain number of seconds."""
    if value is None:
        return None
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([smhd]?)", value)
    if match is None or float(match[1]) == 0:
        raise click.BadParameter(f"{value!r} is no duration; expected for example 90s, 50m or 2h")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]]


DEVICE = click.option("--device", help="cpu, cuda or cuda:N instead of the scenario's.")
MAX_TIME = click.option(
    "--max-time",
    callback=seconds,
    metavar="TIME",
    help="Stop at the next point or in the start after 90s, 50m, 2h, ...",
)
QUIET = click.option("-q", "--quiet", is_flag=True, help="No progress.")

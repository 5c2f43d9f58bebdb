"""What all subcommands share: options, messages, signals and durations."""

from __future__ import annotations

import os
import re
import signal
import sys
import warnings
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

import click

from rdc_dyn.status import Status, UserError

if TYPE_CHECKING:
    import xarray as xr

#: Option that overrides single keys of a scenario.
OVERRIDE = click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key, such as integrator.step_size=0.05."
)


def tell(text: str, *, err: bool = False) -> None:
    """Print a message; of the processes that torchrun starts on one machine, only the first does."""
    if os.environ.get("LOCAL_RANK", "0") == "0":
        click.echo(text, err=err)


def reported(command: Callable[..., Any]) -> Callable[..., Any]:
    """Turn a user's mistake into one line and an exit code, without a traceback."""

    @wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except UserError as error:
            tell(f"rdc-dyn: {error}" if "\n" not in str(error) else str(error), err=True)
            sys.exit(error.exit_code)
        except MemoryError as error:
            tell(f"rdc-dyn: the machine has too little memory ({error})", err=True)
            sys.exit(Status.OUT_OF_MEMORY.exit_code)
        except KeyboardInterrupt as signal_:  # outside the loop of a run, which handles signals itself
            tell("rdc-dyn: stopped by a signal", err=True)
            sys.exit(getattr(signal_, "exit_code", 130))

    return wrapper


def listen() -> None:
    """Let SIGINT and SIGTERM end a run with a checkpoint, and a second SIGINT end it at once."""
    from rdc_dyn.running.recorder import RunWarning
    from rdc_dyn.running.runner import Interrupted
    from rdc_dyn.running.signals import end_at_second_interrupt

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        signal.signal(signal.SIGINT, lambda number, frame: None)
        raise KeyboardInterrupt

    def terminate(number: int, frame: FrameType | None) -> NoReturn:
        raise Interrupted

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
    tell(f"{trajectory.sizes['time']} points in {path}", err=failed)
    if status in (Status.TIME_LIMIT, Status.INTERRUPTED):
        what = "goes on from here" if trajectory.sizes["time"] else "begins again, for nothing was computed yet"
        tell(f"rdc-dyn resume {path} {what}", err=True)
    sys.exit(143 if detail == "SIGTERM" else status.exit_code)


def seconds(context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    """Callback of an option that takes 90s, 50m, 2h, 1d or a plain number of seconds."""
    if value is None:
        return None
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([smhd]?)", value)
    if match is None or float(match[1]) == 0:
        raise click.BadParameter(f"{value!r} is no duration; expected for example 90s, 50m or 2h")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]]


def sentence(status: str, message: str, detail: str | None) -> str:
    """How a run ended, in one line; `status` is the name of a `Status` and `message` its value."""
    return f"{status.lower().replace('_', ' ')}: {message}" + (f" ({detail})" if detail else "")

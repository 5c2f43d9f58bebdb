"""What a shell completes: names, files, directories of runs, keys and their values; no numerical library is imported.

A completion that ends with `=`, `.` or `/` is meant to be continued.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import wraps
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from rdc_dyn.status import UserError

Items = list[CompletionItem[str]]
Complete = Callable[[click.Context, click.Parameter, str], Items]


def _quiet(complete: Complete) -> Complete:
    """Complete nothing where a folder cannot be read or a package fails: whoever presses a key asked for no message."""

    @wraps(complete)
    def completed(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
        try:
            return complete(ctx, param, incomplete)
        except (OSError, UserError):
            return []

    return completed


def _named(found: Mapping[str, str], incomplete: str) -> Items:
    """Those names that begin so, with what they are, up to the next slash."""
    items: dict[str, str] = {}
    for name, text in found.items():
        if name.startswith(incomplete):
            inner, slash, _ = name[len(incomplete) :].partition("/")
            items.setdefault(incomplete + inner + slash, "" if slash else text)
    return [CompletionItem(name, help=text or None) for name, text in items.items()]


def _files(incomplete: str, wanted: Callable[[Path], bool]) -> Items:
    """The wanted files and directories that begin so, and other directories to look into."""
    folder, slash, begun = incomplete.rpartition("/")
    place, found = Path(folder + slash or ".").expanduser(), []
    for entry in sorted(place.iterdir()) if place.is_dir() else ():
        shown = entry.name.startswith(begun) and (begun or not entry.name.startswith("."))
        with suppress(OSError):  # a folder that may not be looked into
            if shown and ((fits := wanted(entry)) or entry.is_dir()):
                found.append(f"{folder}{slash}{entry.name}" + "/" * (not fits))
    return [CompletionItem(name) for name in found]


@_quiet
def scenario(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Shipped examples, and files of YAML."""
    from rdc_dyn.scenario import examples

    shipped = _named(examples(), incomplete)
    return shipped + _files(incomplete, lambda entry: entry.suffix in (".yaml", ".yml") and entry.is_file())


@_quiet
def units(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Units of losses."""
    return _named({"nats": "", "bits": ""}, incomplete)


@_quiet
def start(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Templates and shipped examples."""
    from rdc_dyn.scenario import examples, templates

    return _named(templates() | examples(), incomplete)


@_quiet
def kind(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Kinds of what can be chosen."""
    from rdc_dyn.scenario import catalogue

    return _named(dict.fromkeys(catalogue(), ""), incomplete)


@_quiet
def run(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Directories of runs."""
    return _directories(incomplete, sweeps=False)


@_quiet
def run_or_sweep(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Directories of runs and of sweeps."""
    return _directories(incomplete, sweeps=True)


def _directories(incomplete: str, *, sweeps: bool) -> Items:
    from rdc_dyn.store.log import LOG
    from rdc_dyn.store.sweep_directory import MANIFEST

    return _files(incomplete, lambda entry: (entry / LOG).is_file() or (sweeps and (entry / MANIFEST).is_file()))


@_quiet
def override(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """The key of a scenario, section by section, and behind `=` the words that it takes."""
    from rdc_dyn.scenario.expectation import keys, words

    key, equals, begun = incomplete.partition("=")
    return _words(f"{key}=", begun, words(key)) if equals else _named(keys(key.rpartition(".")[0]), key)


@_quiet
def grid(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """The key of a scenario, and behind `=` the words that it takes, as often as a comma follows."""
    from rdc_dyn.scenario.expectation import keys, words
    from rdc_dyn.scenario.scenario import NOT_SWEPT

    key, equals, text = incomplete.partition("=")
    if not equals:
        found = keys(key.rpartition(".")[0])
        return _named({name: told for name, told in found.items() if name.rstrip("=") not in NOT_SWEPT}, key)
    before, comma, begun = text.rpartition(",")
    rest = (word for word in words(key) if word not in before.split(","))
    return _words(f"{key}={before}{comma}", begun, rest)


def _words(before: str, begun: str, found: Iterable[str]) -> Items:
    return [CompletionItem(before + word) for word in found if word.startswith(begun)]

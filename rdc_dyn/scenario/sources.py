"""The files whose code a scenario names: they are read and digested here, and never run."""

import hashlib
from collections.abc import Callable, Mapping
from typing import TypeVar

from rdc_dyn.scenario.document import Document, Position, read_regular
from rdc_dyn.scenario.scenario import Scenario
from rdc_dyn.scenario.sections.networks import ModuleSection
from rdc_dyn.scenario.written import Finding, Mistake, ScenarioError

T = TypeVar("T")
#: Largest file of code that is read, in bytes.
_MAX_BYTES = 1 << 20


class Unfit(Exception):  # noqa: N818  # becomes a `ScenarioError` with a place
    """What is wrong with a module that a file makes, by the key of its section that says so."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


def modules_of_files(scenario: Scenario) -> dict[str, ModuleSection]:
    """The parts of the objective that a file makes, by name."""
    parts = scenario.objective.networks
    return {name: part for name, part in parts.items() if isinstance(part, ModuleSection) and part.path is not None}


def for_each(
    parts: Mapping[str, ModuleSection], document: Document, work: Callable[[str, ModuleSection], T]
) -> dict[str, T]:
    """What some work makes of each part; a ScenarioError lists all that were `Unfit`, in the order of the file."""
    found: dict[str, T] = {}
    wrong: list[tuple[Position, Mistake, Unfit]] = []
    for name, part in parts.items():
        try:
            found[name] = work(name, part)
        except Unfit as error:
            wrong.append((*document.mistake(Finding(("objective", name, error.key), str(error))), error))
    if wrong:
        wrong.sort(key=lambda one: one[0])
        raise ScenarioError(mistake for _, mistake, _ in wrong) from wrong[0][2]
    return found


def read_source(part: ModuleSection) -> bytes:
    """The code of a part; `Unfit` where its file cannot be read, or is not the one whose digest is written down."""
    try:
        content = read_regular(part.file, _MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            raise ValueError(f"larger than {_MAX_BYTES >> 20} MB")
    except ValueError as error:
        raise Unfit("path", f"{part.file} cannot be read: {error}") from None
    digest = hashlib.sha256(content).hexdigest()
    if part.source not in (None, digest):
        raise Unfit(
            "source",
            f"{part.file} has changed: its SHA-256 begins with {digest[:12]}, expected {str(part.source)[:12]}; "
            "restore it, or accept it as it is now by source: null (for a run: resume --force)",
        )
    return content


def pinned(scenario: Scenario, document: Document, *, renew: bool = False) -> Scenario:
    """A scenario without relative paths, with the digests of the files that make its modules.

    Digests that it has already are checked, unless `renew` is set. A ScenarioError lists all files that are missing or
    have changed, at their places in the document.
    """
    parts = modules_of_files(scenario)
    if renew:
        parts = {name: part.set(source=None) for name, part in parts.items()}
    digests = for_each(parts, document, lambda _, part: hashlib.sha256(read_source(part)).hexdigest())
    changed = {name: parts[name].set(source=digest) for name, digest in digests.items()}
    return scenario.set(objective=scenario.objective.set(**changed)) if changed else scenario

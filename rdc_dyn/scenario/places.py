"""A tree of plain values and the places in a file where its parts were written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

from rdc_dyn.scenario.problems import Finding, Path, Problem, dotted


@dataclass(frozen=True, order=True)
class Position:
    """A place that messages print as `text`, such as `scen.yaml:6:3`; line and column count from 1."""

    line: int
    column: int
    text: str


@dataclass(frozen=True)
class Place:
    """Where a key (or an item of a list) and its value begin.

    Attributes:
        flow: Whether the value is a scalar or in brackets, and so fits behind `--set key=`.
    """

    key: Position
    value: Position
    flow: bool = True


@dataclass(frozen=True)
class Document:
    """A tree of dicts, lists and scalars with the places of its parts.

    Attributes:
        problems: Mistakes in the text itself, with their positions.
        spoiled: Paths whose values were refused; nothing more is reported about them.
        by_key: Whether positions are dotted keys because there is no text.
        folder: The folder of the file, which its paths must not leave; None if there is no file to distrust.
    """

    tree: Any
    places: dict[Path, Place]
    problems: tuple[tuple[Position, Problem], ...] = ()
    spoiled: frozenset[Path] = frozenset()
    by_key: bool = False
    folder: FilePath | None = None

    def position(self, path: Path, at_key: bool = False) -> Position:
        """Position of a value or its key; for a path that was not written, the key of the nearest section around it."""
        if path in self.places:
            place = self.places[path]
            return place.key if at_key else place.value
        if self.by_key:
            return Position(1, 1, dotted(path))
        while path and path not in self.places:
            path = path[:-1]
        return self.places[path].key if path in self.places else Position(1, 1, "scenario")

    def problem(self, finding: Finding) -> tuple[Position, Problem]:
        """Turn a finding into a problem for the user, and give the position to sort it by."""
        position = self.position(finding.path, finding.at_key)
        return position, Problem(position.text, dotted(finding.path), finding.message)

    def is_spoiled(self, path: Path) -> bool:
        """Whether the value at a path, or something around it, was refused and is not what the user wrote."""
        return any(path[:length] in self.spoiled for length in range(len(path) + 1))

"""A tree of plain values and the places in a file where its parts were written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

from rdc_dyn.scenario.problems import Finding, Path, Problem, dotted


@dataclass(frozen=True, order=True)
class Position:
    """A place that a user can go to.

    Args:
        line: From 1.
        column: From 1.
        text: What is printed, `scen.yaml:6:3`.
    """

    line: int
    column: int
    text: str


@dataclass(frozen=True)
class Place:
    """Where a key and its value were written.

    Args:
        key: Start of the key; of the item for a list.
        value: Start of the value.
        flow: Whether the value is a scalar or in brackets, that is, fits behind `--set key=`.
    """

    key: Position
    value: Position
    flow: bool = True


@dataclass(frozen=True)
class Document:
    """A tree of dicts, lists and scalars with the places of its parts.

    Args:
        tree: The value at the root.
        places: Position of every key and value, by path.
        problems: What is wrong with the text itself, with positions.
        spoiled: Paths whose value was refused; nothing more is to be said about them.
        by_key: There is no text; positions are dotted keys.
        folder: Of the file, whose paths must not leave it; None where there is no file to distrust.
    """

    tree: Any
    places: dict[Path, Place]
    problems: tuple[tuple[Position, Problem], ...] = ()
    spoiled: frozenset[Path] = frozenset()
    by_key: bool = False
    folder: FilePath | None = None

    def position(self, path: Path, at_key: bool = False) -> Position:
        """Find where something was written.

        Args:
            path: Keys and indices from the root.
            at_key: Give the position of the key, not of the value.

        Returns:
            The position; for a path that was not written, that of the key of the nearest section around it.
        """
        if path in self.places:
            place = self.places[path]
            return place.key if at_key else place.value
        if self.by_key:
            return Position(1, 1, dotted(path))
        while path and path not in self.places:
            path = path[:-1]
        return self.places[path].key if path in self.places else Position(1, 1, "scenario")

    def problem(self, finding: Finding) -> tuple[Position, Problem]:
        """Give a finding its position.

        Args:
            finding: A mistake in the tree.

        Returns:
            The position and the problem as a user sees it.
        """
        position = self.position(finding.path, finding.at_key)
        return position, Problem(position.text, dotted(finding.path), finding.message)

    def is_spoiled(self, path: Path) -> bool:
        """Tell whether the value at a path was refused.

        Args:
            path: Keys and indices from the root.

        Returns:
            True if it or something around it is no longer what the user wrote.
        """
        return any(path[:length] in self.spoiled for length in range(len(path) + 1))

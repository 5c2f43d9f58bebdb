"""Turn a mapping made by a program into a `Document` of plain values, with dotted keys as positions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rdc_dyn.scenario.builder import MAX_DEPTH
from rdc_dyn.scenario.places import Document, Place, Position
from rdc_dyn.scenario.problems import Path, Problem, dotted, show
from rdc_dyn.scenario.scalars import check_text

_MOST_BITS = 1300  # roughly the 400 digits that a file may have


class _Copier:
    """Copies a tree, so that later changes by the caller cannot reach the scenario."""

    def __init__(self) -> None:
        self.places: dict[Path, Place] = {}
        self.problems: list[tuple[Position, Problem]] = []
        self.spoiled: set[Path] = set()

    def copy(self, value: Any, path: Path) -> Any:
        """Copy a value into plain types and record its place; None, with a problem noted, if this is impossible."""
        # All positions have the same line and column, so that they sort by their text, the dotted key.
        position = Position(1, 1, dotted(path) or "scenario")
        self.places[path] = Place(position, position)
        try:
            return self._plain(value, path)
        except ValueError as error:
            self._note(path, str(error))
            self.spoiled.add(path)
            return None

    def _note(self, path: Path, message: str) -> None:
        text = dotted(path)
        self.problems.append((Position(1, 1, text or "scenario"), Problem(text or "scenario", text, message)))

    def _plain(self, value: Any, path: Path) -> Any:
        if isinstance(value, Mapping | list | tuple) and len(path) >= MAX_DEPTH:
            raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
        if isinstance(value, Mapping):
            return self._section(value, path)
        if isinstance(value, list | tuple):
            return [self.copy(item, (*path, index)) for index, item in enumerate(value)]
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            check_text(value)
            return str(value)
        if isinstance(value, float):
            return float(value)
        if isinstance(value, int):
            if value.bit_length() > _MOST_BITS:
                raise ValueError("a number of more than 400 digits")
            return int(value)
        raise ValueError(f"a value of type {type(value).__name__} cannot be written in a scenario")

    def _section(self, value: Mapping[Any, Any], path: Path) -> dict[str, Any]:
        section: dict[str, Any] = {}
        for key, item in value.items():
            try:
                section[_word(key)] = self.copy(item, (*path, str(key)))
            except ValueError as error:
                self._note(path, f"a key {error}")
        return section


def _word(key: Any) -> str:
    if not isinstance(key, str):
        shown = show(key) if isinstance(key, int | float | None) else type(key).__name__
        raise ValueError(f"must be a string, not {shown}")
    check_text(key)
    return str(key)


def from_tree(tree: Any) -> Document:
    """Copy a tree of plain Python values, such as one read from JSON, into a document with dotted keys as positions."""
    copier = _Copier()
    copied = copier.copy(tree, ())
    return Document(copied, copier.places, tuple(copier.problems), frozenset(copier.spoiled), by_key=True)

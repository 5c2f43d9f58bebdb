"""Overrides of single keys, such as `--set integrator.step_size=0.05`, applied to the tree before validation."""

from __future__ import annotations

import copy
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rdc_dyn.scenario.builder import MAX_DEPTH
from rdc_dyn.scenario.document import parse
from rdc_dyn.scenario.places import Document, Place, Position
from rdc_dyn.scenario.problems import Path, Problem, ScenarioError, dotted, shorten, show


@dataclass
class _Edit:
    """A copy of a document's parts that overrides change."""

    tree: Any
    places: dict[Path, Place]
    problems: list[tuple[Position, Problem]] = field(default_factory=list)
    spoiled: set[Path] = field(default_factory=set)


def apply_overrides(document: Document, overrides: Sequence[str], origin: str = "--set") -> Document:
    """Return a copy of a document with overrides applied; later ones win.

    Each is `key=value`, with a dotted key and a YAML scalar or a value in brackets. Overrides that cannot be applied
    become problems of the copy, whose messages call them `origin`.
    """
    edit = _Edit(copy.deepcopy(document.tree), dict(document.places), list(document.problems), set(document.spoiled))
    for number, override in enumerate(overrides):
        position = Position(sys.maxsize, number, f"{origin} {shorten(override)}")  # sorted behind those of the file
        key = dotted(_parts(override))
        try:
            _apply(edit, override, position)
        except ScenarioError as error:
            edit.problems += [(position, Problem(position.text, key, problem.message)) for problem in error.problems]
        except ValueError as error:
            edit.problems.append((position, Problem(position.text, key, str(error))))
    return replace(
        document,
        tree=edit.tree,
        places=edit.places,
        problems=tuple(edit.problems),
        spoiled=frozenset(edit.spoiled),
    )


def _apply(edit: _Edit, override: str, position: Position) -> None:
    """Apply one override; a ValueError reports one that is not of the form key=value or does not fit the tree."""
    parts, text = _parts(override), override.partition("=")[2]
    if not parts:
        raise ValueError("expected key=value with a dotted key, such as integrator.step_size=0.05")
    if len(parts) > MAX_DEPTH:
        raise ValueError(f"a key of more than {MAX_DEPTH} parts")
    if not text.strip():
        raise ValueError("no value behind '='; write null for none")
    value = parse(text, position.text)
    if not value.places[()].flow:
        raise ValueError("write a list as [a, b] and a section as {key: value}")
    container, path = _descend(edit, parts[:-1], position)
    path = _assign(container, path, parts[-1], value.tree)
    for old in [place for place in edit.places if place[: len(path)] == path]:
        del edit.places[old]
    edit.spoiled = {old for old in edit.spoiled if old[: len(path)] != path}
    edit.spoiled |= {path + inner for inner in value.spoiled}
    edit.places.update({path + inner: Place(position, position) for inner in value.places})
    edit.problems += [(position, Problem(position.text, dotted(path), found.message)) for _, found in value.problems]


def _parts(override: str) -> list[str]:
    """Split the key into its parts; none if the override is not of the form key=value."""
    key, equals, _ = override.partition("=")
    parts = key.strip().split(".")
    return parts if equals and all(parts) else []


def _descend(edit: _Edit, parts: Sequence[str], position: Position) -> tuple[Any, Path]:
    """Find the section or list that holds the last part of a key, and its path; create sections that are missing.

    A ValueError reports a plain value on the way.
    """
    here: Any = edit.tree
    path: Path = ()
    for part in parts:
        path = _step(here, path, part)
        inner = here.get(part) if isinstance(here, dict) else here[int(part)]
        if inner is None:
            inner = here[path[-1]] = {}
            edit.places[path] = Place(position, position)
        if not isinstance(inner, dict | list):
            raise ValueError(f"{dotted(path)} is {show(inner)}, not a section")
        here = inner
    return here, path


def _assign(container: Any, path: Path, part: str, value: Any) -> Path:
    """Put a value into a section or list and return its path; the index after a list's last item appends."""
    if isinstance(container, list) and part == str(len(container)):
        container.append(value)
        return (*path, len(container) - 1)
    path = _step(container, path, part)
    container[path[-1]] = value
    return path


def _step(container: Any, path: Path, part: str) -> Path:
    """Extend a path by a word in a section or an index in a list; a ValueError reports a missing item."""
    if isinstance(container, dict):
        return (*path, part)
    if part.isascii() and part.isdigit() and len(part) < 6 and int(part) < len(container):
        return (*path, int(part))
    raise ValueError(
        f"{dotted(path)} is a list of {len(container)} items, counted from 0; it has no item {shorten(part)}"
    )

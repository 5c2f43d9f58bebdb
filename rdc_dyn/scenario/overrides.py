"""Overrides of single keys, `--set integrator.step_size=0.05`, applied to the tree before it is validated."""

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
    """A document that is being changed."""

    tree: Any
    places: dict[Path, Place]
    problems: list[tuple[Position, Problem]] = field(default_factory=list)
    spoiled: set[Path] = field(default_factory=set)


def apply_overrides(document: Document, overrides: Sequence[str], origin: str = "--set") -> Document:
    """Change a document as told on the command line; later overrides win.

    Args:
        document: Of a scenario; left as it is.
        overrides: Each `key=value`, the key dotted, the value a YAML scalar or in brackets.
        origin: What messages call an override.

    Returns:
        The changed document; overrides that cannot be applied are among its problems.
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
    """Apply one override.

    Raises:
        ValueError: It is not of the form key=value or does not fit the tree.
    """
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
    """Split the key.

    Returns:
        Its parts; none if the override is not of the form key=value.
    """
    key, equals, _ = override.partition("=")
    parts = key.strip().split(".")
    return parts if equals and all(parts) else []


def _descend(edit: _Edit, parts: Sequence[str], position: Position) -> tuple[Any, Path]:
    """Go to the section or list that holds the last part of a key, making sections that are missing.

    Returns:
        The section or list, and its path.

    Raises:
        ValueError: Something on the way is a plain value.
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
    """Put a value into a section or list; the index behind the last item of a list appends.

    Returns:
        The path of the value.
    """
    if isinstance(container, list) and part == str(len(container)):
        container.append(value)
        return (*path, len(container) - 1)
    path = _step(container, path, part)
    container[path[-1]] = value
    return path


def _step(container: Any, path: Path, part: str) -> Path:
    """Read one part of a key: a word in a section, an index in a list.

    Returns:
        The longer path.

    Raises:
        ValueError: The list has no such item.
    """
    if isinstance(container, dict):
        return (*path, part)
    if part.isascii() and part.isdigit() and len(part) < 6 and int(part) < len(container):
        return (*path, int(part))
    raise ValueError(
        f"{dotted(path)} is a list of {len(container)} items, counted from 0; it has no item {shorten(part)}"
    )

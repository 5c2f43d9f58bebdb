"""Overrides of single keys, such as `--set integrator.step_size=0.05`, applied to the tree before validation."""

import copy
import sys
from collections.abc import Sequence
from typing import Any

from rdc_dyn.scenario.document import MAX_DEPTH, Document, Place, Position, parse
from rdc_dyn.scenario.written import KeyPath, ScenarioError, dotted, shorten, show


def apply_overrides(document: Document, overrides: Sequence[str], origin: str = "--set") -> Document:
    """Return a copy of a document with overrides applied; later ones win.

    Each is `key=value`, with a dotted key and a YAML scalar or a value in brackets. Overrides that cannot be applied
    become its mistakes, whose messages call them `origin`.
    """
    edited = copy.deepcopy(document)
    for number, override in enumerate(overrides):
        position = Position(sys.maxsize, number, f"{origin} {shorten(override)}")  # sorted behind those of the file
        key, equals, text = override.partition("=")
        parts = tuple(key.strip().split("."))
        if not (equals and all(parts)):
            parts = ()
        try:
            _apply(edited, parts, text, position)
        except ScenarioError as error:
            for mistake in error.problems:
                edited.note(position, parts, mistake.message)
        except ValueError as error:
            edited.note(position, parts, str(error))
    return edited


def _apply(document: Document, parts: Sequence[str], text: str, position: Position) -> None:
    """Put a value at a key, creating sections that are missing; a ValueError says why it cannot be done."""
    if not parts:
        raise ValueError("expected key=value with a dotted key, such as integrator.step_size=0.05")
    if len(parts) > MAX_DEPTH:
        raise ValueError(f"a key of more than {MAX_DEPTH} parts")
    if not text.strip():
        raise ValueError("no value behind '='; write null for none")
    value = parse(text, position.text)
    if not value.places[()].flow:
        raise ValueError("write a list as [a, b] and a section as {key: value}")
    here: Any = document.tree
    path: KeyPath = ()
    for part in parts[:-1]:
        path = _step(here, path, part)
        inner = here.get(part) if isinstance(here, dict) else here[path[-1]]
        if inner is None:
            inner = here[path[-1]] = {}
            document.places[path] = Place(position, position)
        if not isinstance(inner, dict | list):
            raise ValueError(f"{dotted(path)} is {show(inner)}, not a section")
        here = inner
    if isinstance(here, list) and parts[-1] == str(len(here)):
        here.append(None)
    path = _step(here, path, parts[-1])
    here[path[-1]] = value.tree
    for old in [place for place in document.places if place[: len(path)] == path]:
        del document.places[old]
        document.spoiled.discard(old)
    document.places.update({path + inner: Place(position, position) for inner in value.places})
    document.spoiled.update(path + inner for inner in value.spoiled)
    for _, mistake in value.mistakes:
        document.note(position, path, mistake.message)


def _step(container: Any, path: KeyPath, part: str) -> KeyPath:
    """Extend a path by a word in a section or an index in a list; a ValueError reports a missing item."""
    if isinstance(container, dict):
        return (*path, part)
    if part.isascii() and part.isdigit() and len(part) < 10 and int(part) < len(container):
        return (*path, int(part))
    raise ValueError(
        f"{dotted(path)} is a list of {len(container)} items, counted from 0; it has no item {shorten(part)}"
    )

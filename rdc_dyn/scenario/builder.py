"""Build a tree with places from the events of a YAML parser.

The builder takes events one by one, with a stack of its own, rather than the parser's composed nodes. Depth and size
are then bounded while reading (alias bombs and deep nesting cannot cost time or memory), and a mistake such as a
duplicate key is one problem among others instead of the first and only exception.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from rdc_dyn.scenario.places import Place, Position
from rdc_dyn.scenario.problems import Path, Problem, dotted, shorten
from rdc_dyn.scenario.scalars import (
    CORE_SCALAR_TAGS,
    MAPPING_TAG,
    SEQUENCE_TAG,
    Scalar,
    check_text,
    plain_scalar,
    tagged_scalar,
)

MAX_DEPTH = 20
MAX_NODES = 10_000


class UnreadableError(Exception):
    """The text cannot be read any further than a line and column, both counted from 1."""

    def __init__(self, line: int, column: int, message: str) -> None:
        super().__init__(message)
        self.line, self.column, self.message = line, column, message


@dataclass
class _Frame:
    """A collection that is being read, to be discarded if it has no path."""

    value: dict[str, Any] | list[Any]
    path: Path | None
    key: str | None = None
    key_position: Position | None = None
    awaits_value: bool = False
    lines: dict[str, int] = field(default_factory=dict)


class Builder:
    """Builds the tree from events with a stack of its own, so that depth is a number to check."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.root: Any = None
        self.places: dict[Path, Place] = {}
        self.problems: list[tuple[Position, Problem]] = []
        self.spoiled: set[Path] = set()
        self.documents = 0
        self.only_null_without_text = False
        self._stack: list[_Frame] = []
        self._nodes = 0

    def feed(self, event: Event) -> None:
        """Process the next event of the parser."""
        if isinstance(event, DocumentStartEvent):
            self._start_document(event)
        elif isinstance(event, MappingEndEvent | SequenceEndEvent):
            self._stack.pop()
        elif isinstance(event, NodeEvent):
            self._count(event)
            frame = self._stack[-1] if self._stack else None
            if frame is not None and isinstance(frame.value, dict) and not frame.awaits_value:
                self._take_key(frame, event)
            else:
                self._take_value(frame, event)

    def check_complete(self) -> None:
        """Raise an UnreadableError if nothing was read; call it after the last event."""
        if not self.documents or self.only_null_without_text:
            raise UnreadableError(1, 1, "empty; a scenario is a mapping of sections")

    def _start_document(self, event: DocumentStartEvent) -> None:
        self.documents += 1
        if self.documents > 1:
            self._stop(event, "a second document; a scenario file has one")
        if event.version is not None:
            self._note(
                self._position(event), (), "write the scenario without a %YAML directive; it is read as YAML 1.2"
            )

    def _count(self, event: NodeEvent) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            self._stop(event, f"more than {MAX_NODES} values")
        if isinstance(event, MappingStartEvent | SequenceStartEvent) and len(self._stack) >= MAX_DEPTH:
            self._stop(event, f"nested deeper than {MAX_DEPTH} levels")

    def _take_key(self, frame: _Frame, event: NodeEvent) -> None:
        position = self._position(event)
        frame.awaits_value, frame.key, frame.key_position = True, None, position
        if isinstance(event, MappingStartEvent | SequenceStartEvent):
            self._stack.append(_Frame({} if isinstance(event, MappingStartEvent) else [], None))
        try:
            key = self._key(event)
        except ValueError as error:
            self._note(position, frame.path, str(error))
            return
        if key in frame.lines:
            path = None if frame.path is None else (*frame.path, key)
            self._note(position, path, f"duplicate key; first given in line {frame.lines[key]}")
            return
        frame.lines[key] = position.line
        frame.key = key

    def _key(self, event: NodeEvent) -> str:
        """Read a key; a ValueError reports one that is not a plain word."""
        if not isinstance(event, ScalarEvent):
            raise ValueError("a key must be a word, not a section, a list or an alias")
        if event.value == "<<" and not event.style:
            raise ValueError("merge keys are not allowed; write the keys out")
        if event.anchor is not None:
            raise ValueError(f"anchors (&{shorten(event.anchor)}) are not allowed")
        key = _scalar(event)
        if not isinstance(key, str):
            raise ValueError(f"a key must be a word, not {shorten(event.value) or 'nothing'}")
        return key

    def _take_value(self, frame: _Frame | None, event: NodeEvent) -> None:
        position = self._position(event)
        path, key_position = self._destination(frame, position)
        value: Any = None
        try:
            value = _empty_or_scalar(event)
        except ValueError as error:
            self._note(position, path, str(error))
            self.spoiled.update([] if path is None else [path])
        if event.anchor is not None and not isinstance(event, AliasEvent):
            self._note(position, path, f"anchors (&{shorten(event.anchor)}) are not allowed")
        if frame is None:
            self.root = value
            self.only_null_without_text = isinstance(event, ScalarEvent) and event.value == "" and value is None
        elif isinstance(frame.value, list):
            frame.value.append(value)
        elif frame.key is not None:
            frame.value[frame.key] = value
        if path is not None:
            if isinstance(event, ScalarEvent) and not event.value and not event.style:
                position = key_position  # nothing was written, and the parser's mark lies after the line
            flow = not isinstance(event, MappingStartEvent | SequenceStartEvent) or bool(event.flow_style)
            self.places[path] = Place(key_position, position, flow)
        if isinstance(event, MappingStartEvent | SequenceStartEvent):
            container = value if value is not None else _empty(event)
            self._stack.append(_Frame(container, None if path in self.spoiled else path))

    def _destination(self, frame: _Frame | None, position: Position) -> tuple[Path | None, Position]:
        """Path of the next value, None if it is discarded, and the position of its key."""
        if frame is None:
            return (), position
        if isinstance(frame.value, list):
            return None if frame.path is None else (*frame.path, len(frame.value)), position
        frame.awaits_value = False
        assert frame.key_position is not None
        if frame.path is None or frame.key is None:
            return None, frame.key_position
        return (*frame.path, frame.key), frame.key_position

    def _position(self, event: Event) -> Position:
        line, column = event.start_mark.line + 1, event.start_mark.column + 1
        return Position(line, column, f"{self.name}:{line}:{column}")

    def _note(self, position: Position, path: Path | None, message: str) -> None:
        self.problems.append((position, Problem(position.text, dotted(path or ()), message)))

    def _stop(self, event: Event, message: str) -> None:
        mark = event.start_mark
        raise UnreadableError(mark.line + 1, mark.column + 1, message)


def _empty(event: NodeEvent) -> dict[str, Any] | list[Any]:
    return {} if isinstance(event, MappingStartEvent) else []


def _empty_or_scalar(event: NodeEvent) -> Any:
    """Make the scalar or the empty collection that an event begins; a ValueError refuses aliases and other tags."""
    if isinstance(event, AliasEvent):
        raise ValueError(f"aliases (*{shorten(event.anchor)}) are not allowed; write the value out")
    if isinstance(event, ScalarEvent):
        return _scalar(event)
    _check_tag(event, frozenset([MAPPING_TAG if isinstance(event, MappingStartEvent) else SEQUENCE_TAG]))
    return _empty(event)


def _scalar(event: ScalarEvent) -> Scalar:
    _check_tag(event, CORE_SCALAR_TAGS)
    if event.tag is not None:
        value = tagged_scalar(str(event.tag), event.value)
    else:
        value = event.value if event.style else plain_scalar(event.value)
    if isinstance(value, str):
        check_text(value)
    return value


def _check_tag(event: NodeEvent, allowed: frozenset[str]) -> None:
    tag = str(getattr(event, "tag", None) or "")
    if tag and tag not in allowed:
        written = shorten(tag.replace("tag:yaml.org,2002:", "!!"))
        raise ValueError(f"the tag {written} is not allowed; only plain values are read")

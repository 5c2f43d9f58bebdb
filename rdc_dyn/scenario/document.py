"""Read YAML text, or a mapping made by a program, into a tree of plain values whose parts have places."""

import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import takewhile
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML, events
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.reader import ReaderError

from rdc_dyn.scenario.scalars import Node, plain_scalar, plain_word, scalar, word
from rdc_dyn.scenario.written import Finding, KeyPath, Mistake, ScenarioError, dotted, shorten

MAX_BYTES = 256 * 1024
MAX_DEPTH = 20
MAX_NODES = 10_000

_TOO_LARGE = f"larger than {MAX_BYTES // 1024} kB"


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
        mistakes: Those in the text itself, with their positions.
        spoiled: Paths whose values were refused; nothing more is reported about them.
        by_key: Whether positions are dotted keys because there is no text.
        folder: The folder of the file, which its paths must not leave; None if there is no file to distrust.
    """

    tree: Any = None
    places: dict[KeyPath, Place] = field(default_factory=dict)
    mistakes: list[tuple[Position, Mistake]] = field(default_factory=list)
    spoiled: set[KeyPath] = field(default_factory=set)
    by_key: bool = False
    folder: Path | None = None

    def position(self, path: KeyPath, at_key: bool = False) -> Position:
        """Position of a value or its key; for a path that was not written, the key of the nearest section around it."""
        if path in self.places:
            place = self.places[path]
            return place.key if at_key else place.value
        if self.by_key:
            return Position(1, 1, dotted(path))
        while path and path not in self.places:
            path = path[:-1]
        return self.places[path].key if path in self.places else Position(1, 1, "scenario")

    def mistake(self, finding: Finding) -> tuple[Position, Mistake]:
        """A finding with its position, by which mistakes are sorted."""
        position = self.position(finding.path, finding.at_key)
        return position, Mistake(position.text, dotted(finding.path), finding.message)

    def note(self, position: Position, path: KeyPath | None, message: str) -> None:
        """Add a mistake in the text itself; the path is None inside a value that is not kept."""
        self.mistakes.append((position, Mistake(position.text, dotted(path or ()), message)))

    def is_spoiled(self, path: KeyPath) -> bool:
        """Whether the value at a path, or something around it, was refused and is not what the user wrote."""
        return any(path[:length] in self.spoiled for length in range(len(path) + 1))


def read_regular(path: Path, most: int) -> bytes:
    """The first bytes of a regular file, at most so many; a ValueError says why it cannot be read."""
    try:
        mode = path.stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise ValueError("it is no regular file")  # a pipe might never end
        with path.open("rb") as file:
            return file.read(most)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise ValueError(getattr(error, "strerror", None) or str(error)) from None


def decode(data: bytes, name: str) -> str:
    """Decode UTF-8, dropping a byte order mark; a ScenarioError reports other bytes and more than MAX_BYTES."""
    if len(data) > MAX_BYTES:
        raise ScenarioError([Mistake(f"{name}:1:1", "", _TOO_LARGE)])
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        where = _after(data[: error.start].decode("utf-8", errors="replace"), name).text
        raise ScenarioError([Mistake(where, "", "not UTF-8 text; save the file with that encoding")]) from None


def parse(text: str, name: str) -> Document:
    """Parse one YAML document, whatever its top level is.

    Mistakes that leave the rest readable are kept in the document. A ScenarioError reports text that cannot be
    read to its end: bad syntax, too much size or depth, or nothing at all.
    """
    return _Reader(text, name).read()


def parse_scenario(text: str, name: str) -> Document:
    """Parse a scenario as `parse` does; a ScenarioError also reports a top level that is not a mapping."""
    document = parse(text, name)
    if isinstance(document.tree, dict):
        document.places[()] = Place(_after("", name), _after("", name))
        return document
    kind = "a list" if isinstance(document.tree, list) else "a single value"
    document.note(document.position(()), (), f"the top level must be a mapping of sections, not {kind}")
    raise ScenarioError(mistake for _, mistake in document.mistakes)


def from_tree(tree: Any) -> Document:
    """Copy a tree of plain Python values, such as one read from JSON, into a document with dotted keys as positions."""
    document = Document(by_key=True)
    return replace(document, tree=_copy(document, tree, ()))


class _Reader:
    """Builds a document from the events of a YAML parser, by recursion over sections and lists.

    The parser's composed nodes would lose where an alias stands, and fail at the first mistake. Here depth and size are
    bounded while reading, and a duplicate key, for example, is one mistake among others.
    """

    def __init__(self, text: str, name: str) -> None:
        self._text, self._name = text, name
        self._events = self._parse()
        self._nodes = 0
        self._document = Document()

    def read(self) -> Document:
        """Read the only document of the text."""
        if len(self._text.encode("utf-8", errors="replace")) > MAX_BYTES:
            raise self._stopped(_after("", self._name), _TOO_LARGE)
        tree, top = None, None
        for event in self._events:
            if isinstance(event, events.DocumentStartEvent):
                if top is not None:
                    raise self._stopped(self._at(event.start_mark), "a second document; a scenario file has one")
                if event.version is not None:
                    message = "write the scenario without a %YAML directive; it is read as YAML 1.2"
                    self._document.note(self._at(event.start_mark), (), message)
                top = next(self._events)
                tree = self._value(top, (), 0)
        if tree is None and (top is None or (isinstance(top, events.ScalarEvent) and not top.value)):
            raise self._stopped(_after("", self._name), "empty; a scenario is a mapping of sections")
        return replace(self._document, tree=tree)

    def _parse(self) -> Iterator[Any]:
        """Yield the parser's events; a ScenarioError reports text that is not YAML."""
        try:
            yield from YAML(typ="safe", pure=True).parse(self._text)
        except ReaderError as error:
            position = _after(self._text[: error.position], self._name)
            raise self._stopped(position, f"the character U+{error.character:04X} is not allowed in YAML") from None
        except MarkedYAMLError as error:
            cause = str(error.problem or error.context).replace("'\\x00'", "the end of the file")
            if "'\\t'" in cause:
                cause = "a tab; indent with spaces"
            position = self._at(error.problem_mark or error.context_mark)
            raise self._stopped(position, f"not valid YAML: {' '.join(cause.split())}") from None
        except Exception as error:
            # The parser itself fails on some malformed texts, for example on the escape "\UFFFFFFFF".
            raise self._stopped(_after("", self._name), f"not valid YAML: {shorten(str(error))}") from None

    def _value(self, event: Node, path: KeyPath | None, depth: int, key: Position | None = None) -> Any:
        """Read the value that an event begins; its path is None if it is only read for its mistakes."""
        position, value, kept = self._bounded(event, depth), None, path
        try:
            value = scalar(event)
        except ValueError as error:
            self._document.note(position, path, str(error))
            kept = None
        if event.anchor is not None and not isinstance(event, events.AliasEvent):
            self._document.note(position, path, f"anchors (&{shorten(event.anchor)}) are not allowed")
        if path is not None:
            # The parser's mark of an empty scalar lies after the line, so its key is pointed at instead.
            empty = isinstance(event, events.ScalarEvent) and not event.value and not event.style
            flow = not isinstance(event, events.CollectionStartEvent) or bool(event.flow_style)
            self._document.places[path] = Place(key or position, key if key and empty else position, flow)
            if kept is None:
                self._document.spoiled.add(path)
        if isinstance(event, events.CollectionStartEvent):
            value = self._contents(event, kept, depth + 1)
        return None if kept is None else value

    def _contents(self, event: events.CollectionStartEvent, path: KeyPath | None, depth: int) -> Any:
        """Read the section or list that an event begins; the value of a refused key is only read for its mistakes."""
        inner = takewhile(lambda event: not isinstance(event, events.CollectionEndEvent), self._events)
        if isinstance(event, events.SequenceStartEvent):
            return [self._value(item, None if path is None else (*path, i), depth) for i, item in enumerate(inner)]
        section: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for written in inner:
            position, key = self._bounded(written, depth), None
            try:
                key = word(written)
            except ValueError as error:
                self._document.note(position, path, str(error))
            if isinstance(written, events.CollectionStartEvent):
                self._contents(written, None, depth + 1)
            below = None if path is None or key is None else (*path, key)
            if key in lines:
                self._document.note(position, below, f"duplicate key; first given in line {lines[key]}")
                key = below = None
            value = self._value(next(self._events), below, depth, position)
            if key is not None:
                section[key], lines[key] = value, position.line
        return section

    def _bounded(self, event: Node, depth: int) -> Position:
        """Count a key or value and give its position; a ScenarioError reports too many, or too deep a nesting."""
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise self._stopped(self._at(event.start_mark), f"more than {MAX_NODES} values")
        if isinstance(event, events.CollectionStartEvent) and depth >= MAX_DEPTH:
            raise self._stopped(self._at(event.start_mark), f"nested deeper than {MAX_DEPTH} levels")
        return self._at(event.start_mark)

    def _at(self, mark: Any) -> Position:
        """Position of a mark of the parser, which counts from 0."""
        line, column = mark.line + 1, mark.column + 1
        return Position(line, column, f"{self._name}:{line}:{column}")

    def _stopped(self, position: Position, message: str) -> ScenarioError:
        """Make the error for a text that cannot be read any further, after the mistakes found before."""
        self._document.note(position, (), message)
        return ScenarioError(mistake for _, mistake in self._document.mistakes)


def _after(text: str, name: str) -> Position:
    """Position right after a text that begins the file."""
    line, column = text.count("\n") + 1, len(text) - text.rfind("\n")
    return Position(line, column, f"{name}:{line}:{column}")


def _copy(document: Document, value: Any, path: KeyPath) -> Any:
    """Copy a value into plain types and record its place; None, with a mistake noted, if this is impossible."""
    # All positions have the same line and column, so that they sort by their text, the dotted key.
    position = Position(1, 1, dotted(path) or "scenario")
    document.places[path] = Place(position, position)
    try:
        if isinstance(value, Mapping | list | tuple) and len(path) >= MAX_DEPTH:
            raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
        if isinstance(value, list | tuple):
            return [_copy(document, item, (*path, index)) for index, item in enumerate(value)]
        if not isinstance(value, Mapping):
            return plain_scalar(value)
    except ValueError as error:
        document.note(position, path, str(error))
        document.spoiled.add(path)
        return None
    section: dict[str, Any] = {}
    for key, item in value.items():
        try:
            section[plain_word(key)] = _copy(document, item, (*path, str(key)))
        except ValueError as error:
            document.note(position, path, f"a key {error}")
    return section

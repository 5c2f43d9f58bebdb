"""Parse YAML text into a plain tree in which every key and value has a line and a column."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import Event

from rdc_dyn.scenario.builder import Builder, UnreadableError
from rdc_dyn.scenario.places import Document, Place, Position
from rdc_dyn.scenario.problems import Problem, ScenarioError, shorten

MAX_BYTES = 256 * 1024

_UNREADABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def decode(data: bytes, name: str) -> str:
    """Decode UTF-8, dropping a byte order mark; a ScenarioError reports other bytes and more than MAX_BYTES."""
    if len(data) > MAX_BYTES:
        raise ScenarioError([Problem(f"{name}:1:1", "", f"larger than {MAX_BYTES // 1024} kB")])
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8", errors="replace")
        line, column = _line_column(before)
        where = f"{name}:{line}:{column}"
        raise ScenarioError([Problem(where, "", "not UTF-8 text; save the file with that encoding")]) from None


def parse(text: str, name: str) -> Document:
    """Parse one YAML document, whatever its top level is.

    Mistakes that leave the rest readable become problems of the document. A ScenarioError reports text that cannot be
    read to its end: bad syntax, too much size or depth, or nothing at all.
    """
    builder = Builder(name)
    try:
        _check_characters(text)
        for event in _events(text):
            builder.feed(event)
        builder.check_complete()
    except UnreadableError as stop:
        where = f"{name}:{stop.line}:{stop.column}"
        raise ScenarioError([*(problem for _, problem in builder.problems), Problem(where, "", stop.message)]) from None
    return Document(builder.root, builder.places, tuple(builder.problems), frozenset(builder.spoiled))


def parse_scenario(text: str, name: str) -> Document:
    """Parse a scenario as `parse` does; a ScenarioError also reports a top level that is not a mapping."""
    document = parse(text, name)
    if isinstance(document.tree, dict):
        return replace(document, places={**document.places, (): _start_of(name)})
    kind = "a list" if isinstance(document.tree, list) else "a single value"
    position = document.position(())
    problem = Problem(position.text, "", f"the top level must be a mapping of sections, not {kind}")
    raise ScenarioError([*(problem for _, problem in document.problems), problem])


def _start_of(name: str) -> Place:
    start = Position(1, 1, f"{name}:1:1")
    return Place(start, start)


def _line_column(before: str) -> tuple[int, int]:
    """Line and column, both from 1, of the position right after the text `before`."""
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def _check_characters(text: str) -> None:
    """Raise an UnreadableError if the text is too long or has a character that YAML forbids, such as NUL."""
    if len(text) > MAX_BYTES or len(text.encode("utf-8", errors="replace")) > MAX_BYTES:
        raise UnreadableError(1, 1, f"larger than {MAX_BYTES // 1024} kB")
    found = _UNREADABLE.search(text)
    if found:
        line, column = _line_column(text[: found.start()])
        raise UnreadableError(line, column, f"the character U+{ord(found[0]):04X} is not allowed in YAML")


def _events(text: str) -> Iterator[Event]:
    """Yield the parser's events; an UnreadableError reports text that is not YAML."""
    try:
        yield from YAML(typ="safe", pure=True).parse(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        cause = str(error.problem or error.context or "cannot be read").replace("'\\x00'", "the end of the file")
        if "'\\t'" in cause:
            cause = "a tab; indent with spaces"
        message = f"not valid YAML: {' '.join(cause.split())}"
        raise UnreadableError(mark.line + 1 if mark else 1, mark.column + 1 if mark else 1, message) from None
    except UnreadableError:
        raise
    except Exception as error:
        # The parser itself fails on some malformed texts, for example on the escape "\UFFFFFFFF".
        raise UnreadableError(1, 1, f"not valid YAML: {shorten(str(error))}") from None

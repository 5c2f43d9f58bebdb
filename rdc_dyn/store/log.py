"""`log.jsonl`, the one record of a run: a line of JSON per point and event, on disk before the next step begins.

Each line ends with the SHA-256 of the line before it and of itself, so that a flipped bit, a lost or a swapped line is
found where it is, and everything before it can be trusted.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from rdc_dyn.record import CONTROLS, FUNCTIONALS, Event, Record
from rdc_dyn.status import Status
from rdc_dyn.store import disk
from rdc_dyn.store.commit import one_line
from rdc_dyn.store.disk import reported

LOG = "log.jsonl"
#: Size of the largest log that is read, in bytes; a point takes about two thousand.
_MOST = 2 << 30
_CHAINED = re.compile(rb'.*, "sha256": "[0-9a-f]{64}"}')
#: Number of bytes at the end of a line that are its digest.
_END = len(', "sha256": ""}') + 64


@dataclass(frozen=True)
class Mark:
    """The end of a line of a log: the bytes up to there, and the digest that the line ends with."""

    length: int = 0
    digest: str = "0" * 64

    def after(self, line: bytes) -> Mark:
        """The mark after one more line, given without its digest: an object in JSON."""
        digest = hashlib.sha256(self.digest.encode() + line).hexdigest()
        return Mark(self.length + len(self.line(line, digest)), digest)

    @staticmethod
    def line(line: bytes, digest: str) -> bytes:
        """A line as it stands in the log."""
        return line[:-1] + f', "sha256": "{digest}"}}\n'.encode()


@dataclass
class Log:
    """The log of a run, open for appending; `mark` is its end."""

    path: Path
    file: IO[bytes]
    mark: Mark

    @classmethod
    def open(cls, folder: Path, mark: Mark | None = None) -> Log:
        """Open the log of a run directory, created if missing, and cut it back to a mark, or to nothing."""
        path, mark = folder / LOG, mark or Mark()
        with reported(path):
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o644)
            with ExitStack() as opened:
                file = opened.enter_context(open(handle, "ab", buffering=0))
                disk.cut(handle, path, mark.length)
                disk.flush(path, handle)
                opened.pop_all()
        return cls(path, file, mark)

    def line(self, content: Mapping[str, Any]) -> None:
        """Append a line and flush it to disk; DataError if it cannot be written, and nothing of it stays."""
        text = to_text([content]).encode()
        mark, handle = self.mark.after(text), self.file.fileno()
        try:
            with reported(self.path):
                disk.append(handle, self.path, Mark.line(text, mark.digest))
                disk.flush(self.path, handle)
        except BaseException:
            with suppress(OSError):
                disk.cut(handle, self.path, self.mark.length)
            raise
        self.mark = mark

    def close(self) -> None:
        """Close the file."""
        self.file.close()


@dataclass
class Logged:
    """What a log says: points, events as they stand there, and the attributes of the trajectory.

    Attributes:
        mark: The end of the last line that was read.
        damage: What is wrong after it; empty if nothing is.
    """

    records: list[Record] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    attributes: dict[str, Any] = field(default_factory=dict)
    mark: Mark = field(default_factory=Mark)
    damage: str = ""

    @property
    def ended(self) -> bool:
        """Whether the run says how it ended, and nothing comes after."""
        return bool(self.events) and self.events[-1]["event"] == "end"

    def take(self, content: Mapping[str, Any]) -> None:
        """Add the content of a line; raises ValueError, KeyError or TypeError if it is none of this program."""
        kind = content["event"]
        if kind == "attributes":
            self.attributes = dict(content["attributes"])
        elif kind == "record":
            self.records.append(read_record(content))
        else:
            _require_event(content)
            self.events.append(dict(content))


def read_log(folder: Path, length: int | None = None) -> Logged:
    """Read the log of a run directory, or its first `length` bytes, up to the first damage.

    A line that was cut short when the run was killed is no damage. Raises DataError if there is no log.
    """
    path = folder / LOG
    with reported(folder, f"not a run directory, no readable {LOG}"):
        content = disk.read(path, _MOST)[:length]
    found = Logged()
    *lines, rest = content.split(b"\n")
    for number, line in enumerate(lines, 1):
        try:
            _take(found, line)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
            found.damage = f"{path}:{number}: damaged line ({one_line(error)})"
            return found
    if rest and (length is not None or (_CHAINED.match(rest) and not _CHAINED.fullmatch(rest))):
        found.damage = f"{path}:{len(lines) + 1}: damaged line (it does not end where it should)"
    return found


def _take(found: Logged, line: bytes) -> None:
    text, end = line[:-_END] + b"}", line[-_END:]
    digest = hashlib.sha256(found.mark.digest.encode() + text).hexdigest()
    if end != b', "sha256": "%b"}' % digest.encode():
        raise ValueError("its digest is another one")
    content = _DECODER.decode(text.decode())
    if b"\\ud" in text or b"\\uD" in text:
        json.dumps(content, ensure_ascii=False).encode()  # a lone surrogate is no text
    found.take(content)
    found.mark = Mark(found.mark.length + len(line) + 1, digest)


def _no_number(constant: str) -> float:
    raise ValueError(f"{constant} is no JSON")


_DECODER = json.JSONDecoder(parse_constant=_no_number)


def record_line(record: Record) -> dict[str, Any]:
    """The content of the log line for a record."""
    error = {} if record.response_error is None else {"response_error": record.response_error}
    return {"event": "record", "time": record.time, **record.values, "response": record.response, **error}


def event_line(event: Event) -> dict[str, Any]:
    """The content of the log line for an event: its kind under `event`, its time and text, and its values."""
    return {"event": event.kind, "time": event.time, "text": event.text, **event.values}


def read_record(line: Mapping[str, Any]) -> Record:
    """The record in a log line; raises KeyError, TypeError or ValueError if there is none."""
    rest = dict(line)
    del rest["event"]
    time, response, error = rest.pop("time"), rest.pop("response"), rest.pop("response_error", None)
    values = {name: value if type(value) is float else _decode(value) for name, value in rest.items()}
    return Record(float(time), values, _rows(response), None if error is None else _rows(error))


def _rows(matrix: Sequence[Sequence[Any]]) -> tuple[tuple[float, ...], ...]:
    rows = tuple([tuple([v if type(v) is float else _decode(v) for v in row]) for row in matrix])
    if [len(row) for row in rows] != [len(CONTROLS)] * len(FUNCTIONALS):
        raise ValueError("a response matrix of another shape")
    return rows


def _decode(value: Any) -> float:
    return math.nan if value is None else float(value)


def _require_event(line: Mapping[str, Any]) -> None:
    if not isinstance(line["event"], str) or not isinstance(line["text"], str):
        raise TypeError("kind and text of an event are words")
    _decode(line["time"])
    if line["event"] == "end" and not (line["status"] in Status.__members__ and isinstance(line["detail"], str)):
        raise ValueError("an end without a status")


def to_text(events: Iterable[Mapping[str, Any]]) -> str:
    """Encode events as in the log and in the attribute `events` of a trajectory, one line of JSON each."""
    return "\n".join(json.dumps(_encode(event), allow_nan=False) for event in events)


def _encode(value: Any) -> Any:
    """NaN → None and ±∞ → text, since JSON has neither; finite floats survive JSON exactly."""
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    if isinstance(value, Mapping):
        return {k: _encode(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_encode(v) for v in value]
    return value

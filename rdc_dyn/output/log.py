"""`log.jsonl`: one line of JSON per point and event, on disk before the next step begins."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from rdc_dyn.output.plain import encode
from rdc_dyn.output.record import Event, Record
from rdc_dyn.status import DataError

LOG = "log.jsonl"
#: Size of the largest log that is read, in bytes; a point takes about two thousand.
_MOST = 2 << 30


@dataclass(frozen=True)
class Log:
    """The append-only log of a run, open for writing."""

    path: Path
    file: IO[str]

    @classmethod
    def open(cls, folder: Path) -> Log:
        """Open the log of a run directory, or create it; DataError if it cannot be written.

        A line cut short when an earlier process died is ended, so that new lines start on their own.
        """
        path = folder / LOG
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
            size = os.fstat(handle).st_size
            if size and os.pread(handle, 1, size - 1) != b"\n":
                os.write(handle, b"\n")
            return cls(path, os.fdopen(handle, "a", encoding="utf-8"))
        except OSError as error:
            raise DataError(f"{path}: cannot be written ({error.strerror or error})") from None

    def line(self, content: Mapping[str, Any]) -> None:
        """Append a line and flush it to disk; DataError if it cannot be written."""
        try:
            self.file.write(json.dumps(encode(content), allow_nan=False) + "\n")
            self.file.flush()
            os.fsync(self.file.fileno())
        except OSError as error:
            raise DataError(f"{self.path}: cannot be written ({error.strerror or error})") from None

    def close(self) -> None:
        """Close the file; a line that could not be written has been reported already."""
        with suppress(OSError):
            self.file.close()


def record_line(record: Record) -> dict[str, Any]:
    """The content of the log line for a record."""
    error = {} if record.response_error is None else {"response_error": record.response_error}
    return {"event": "record", "time": record.time, **record.values, "response": record.response, **error}


def event_line(event: Event) -> dict[str, Any]:
    """The content of the log line for an event: its kind under `event`, its time and text, and its values."""
    return {"event": event.kind, "time": event.time, "text": event.text, **event.values}


def read_record(line: Mapping[str, Any]) -> Record:
    """The record in a log line; raises KeyError, TypeError or ValueError if there is none."""
    others = ("event", "time", "response", "response_error")
    values = {key: _decode(value) for key, value in line.items() if key not in others}
    error = line.get("response_error")
    return Record(float(line["time"]), values, _rows(line["response"]), None if error is None else _rows(error))


def _rows(matrix: Sequence[Sequence[Any]]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(_decode(value) for value in row) for row in matrix)


def _decode(value: Any) -> float:
    return math.nan if value is None else float(value)


def read_log(path: Path) -> tuple[list[Record], list[dict[str, Any]], dict[str, Any]]:
    """Read the log of a run directory: its records, its other events, and the attributes of the trajectory.

    A line cut short when the run was killed is left out, as is all that a resumed run computed anew. Raises DataError
    if there is no log, or if any other line is damaged.
    """
    try:
        if (path / LOG).stat().st_size > _MOST:
            raise DataError(f"{path / LOG}: larger than {_MOST >> 30} GB, no log of this program")
        lines = (path / LOG).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a run directory, no readable {LOG} ({error})") from None
    records: list[Record] = []
    events: list[dict[str, Any]] = []
    attributes: dict[str, Any] = {}
    torn: DataError | None = None
    for number, line in enumerate(lines, 1):
        try:
            content = json.loads(line)
            kind = content["event"]
            if torn is not None and kind != "resumed":
                raise torn
            torn = None
            if kind == "attributes":
                attributes = dict(content["attributes"])
            elif kind == "record":
                records.append(read_record(content))
            elif kind == "resumed":
                del records[int(content["records"]) :], events[int(content["events"]) :]
            else:
                events.append(content)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            torn = torn or DataError(f"{path / LOG}:{number}: damaged line ({error})")
    if torn is not None and not str(torn).startswith(f"{path / LOG}:{len(lines)}:"):
        raise torn
    return records, events, attributes

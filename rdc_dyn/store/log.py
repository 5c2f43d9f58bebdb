"""`log.jsonl`: one line of JSON per point and event, on disk before the next step begins."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from rdc_dyn.record import Event, Record
from rdc_dyn.status import DataError
from rdc_dyn.store.commit import open_own, reported

LOG = "log.jsonl"
#: Size of the largest log that is read, in bytes; a point takes about two thousand.
_MOST = 2 << 30
#: Attribute of a trajectory that holds its events.
EVENTS = "events"


@dataclass(frozen=True)
class Log:
    """The append-only log of a run, open for writing."""

    path: Path
    file: IO[str]

    @classmethod
    def open(cls, folder: Path) -> Log:
        """Open the log of a run directory, or create it; a line that was cut short is ended."""
        path = folder / LOG
        with reported(path):
            file = open_own(path, "a+")
            size = os.fstat(file.fileno()).st_size
            if size and os.pread(file.fileno(), 1, size - 1) != b"\n":
                os.write(file.fileno(), b"\n")
            return cls(path, file)

    def line(self, content: Mapping[str, Any]) -> None:
        """Append a line and flush it to disk; DataError if it cannot be written."""
        with reported(self.path):
            self.file.write(to_text([content]) + "\n")
            self.file.flush()
            os.fsync(self.file.fileno())

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
    records, events, attributes = list[Record](), list[dict[str, Any]](), dict[str, Any]()
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

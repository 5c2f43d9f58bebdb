"""What a run without a directory keeps: the same calls as those of `RunWriter`, and nothing on the disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import xarray as xr

from rdc_dyn.output.dataset import to_dataset
from rdc_dyn.output.events import EVENTS, to_text
from rdc_dyn.output.log import event_line
from rdc_dyn.output.record import Event, Record

if TYPE_CHECKING:
    from rdc_dyn.output.checkpoint import Checkpoint
    from rdc_dyn.output.segments import Segment


class Store(Protocol):
    """Where the points of a run go.

    Attributes:
        attributes: Of the trajectory.
        segments: Pieces that were cut.
        records: Points since the last piece.
        events: Events since the last piece, as a log has them.
        lasting: Whether a run can go on from here after its process has died.
    """

    attributes: Mapping[str, str | int | float]
    segments: list[Segment]
    records: list[Record]
    events: list[dict[str, Any]]
    lasting: bool

    @property
    def count(self) -> int:
        """Points so far."""
        ...

    def begin(self, attributes: Mapping[str, str | int | float]) -> None:
        """Take the attributes of the trajectory."""
        ...

    def record(self, record: Record) -> None:
        """Keep a point."""
        ...

    def event(self, event: Event) -> None:
        """Keep an event."""
        ...

    def cut(self) -> None:
        """End a piece of the trajectory."""
        ...

    def checkpoint(self, index: int, checkpoint: Checkpoint) -> None:
        """Keep a state to go on from."""
        ...

    def finish(self, status: Mapping[str, str | int | float], *, whole: bool, theta: bool = True) -> xr.Dataset:
        """Make the trajectory."""
        ...

    def discard(self) -> None:
        """Leave nothing behind."""
        ...

    def close(self) -> None:
        """Let go."""
        ...


@dataclass
class InMemory:
    """Keeps the points of a run in memory.

    Attributes:
        attributes: Of the trajectory.
        segments: None are cut.
        records: All points.
        events: All events, as a log has them.
        lasting: What is in memory dies with the process.
    """

    attributes: Mapping[str, str | int | float] = field(default_factory=dict)
    segments: list[Segment] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    lasting: bool = False

    @property
    def count(self) -> int:
        """Points so far."""
        return len(self.records)

    def begin(self, attributes: Mapping[str, str | int | float]) -> None:
        """Take the attributes of the trajectory."""
        self.attributes = dict(attributes)

    def record(self, record: Record) -> None:
        """Keep a point."""
        self.records.append(record)

    def event(self, event: Event) -> None:
        """Keep an event."""
        self.events.append(event_line(event))

    def cut(self) -> None:
        """Nothing: memory needs no pieces."""

    def checkpoint(self, index: int, checkpoint: Checkpoint) -> None:
        """Nothing: what is in memory dies with the process."""

    def finish(self, status: Mapping[str, str | int | float], *, whole: bool, theta: bool = True) -> xr.Dataset:
        """The trajectory."""
        return to_dataset(self.records, {**self.attributes, **status, EVENTS: to_text(self.events)})

    def discard(self) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""

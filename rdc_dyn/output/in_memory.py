"""The store of a run without a directory: the interface of `RunWriter`, with nothing on disk."""

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
    """Where the points and events of a run go; see `RunWriter`.

    Attributes:
        records: Points since the last segment.
        events: Events since the last segment, as logged.
        lasting: Whether a run can resume from the store after its process has died.
    """

    attributes: Mapping[str, str | int | float]
    segments: list[Segment]
    records: list[Record]
    events: list[dict[str, Any]]
    lasting: bool

    @property
    def count(self) -> int:
        """Number of points so far."""
        ...

    def begin(self, attributes: Mapping[str, str | int | float]) -> None:
        """Set the attributes of the trajectory."""
        ...

    def record(self, record: Record) -> None:
        """Store a point."""
        ...

    def event(self, event: Event) -> None:
        """Store an event."""
        ...

    def cut(self) -> None:
        """End a segment of the trajectory."""
        ...

    def checkpoint(self, index: int, checkpoint: Checkpoint) -> None:
        """Store a state to resume from."""
        ...

    def finish(self, status: Mapping[str, str | int | float], *, whole: bool, theta: bool = True) -> xr.Dataset:
        """Build the trajectory."""
        ...

    def discard(self) -> None:
        """Leave nothing behind."""
        ...

    def close(self) -> None:
        """Release all resources."""
        ...


@dataclass
class InMemory:
    """Keeps the points and events of a run in memory, without segments; they are lost with the process."""

    attributes: Mapping[str, str | int | float] = field(default_factory=dict)
    segments: list[Segment] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    lasting: bool = False

    @property
    def count(self) -> int:
        """Number of points so far."""
        return len(self.records)

    def begin(self, attributes: Mapping[str, str | int | float]) -> None:
        """Set the attributes of the trajectory."""
        self.attributes = dict(attributes)

    def record(self, record: Record) -> None:
        """Keep a point."""
        self.records.append(record)

    def event(self, event: Event) -> None:
        """Keep an event."""
        self.events.append(event_line(event))

    def cut(self) -> None:
        """Do nothing: memory needs no segments."""

    def checkpoint(self, index: int, checkpoint: Checkpoint) -> None:
        """Do nothing: a checkpoint in memory would be lost with the process."""

    def finish(self, status: Mapping[str, str | int | float], *, whole: bool, theta: bool = True) -> xr.Dataset:
        """Build the trajectory."""
        return to_dataset(self.records, {**self.attributes, **status, EVENTS: to_text(self.events)})

    def discard(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""

"""Where the points and events of a run go, and the store of a run without a directory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import xarray as xr

from rdc_dyn.record import Event, Record
from rdc_dyn.store.dataset import to_dataset
from rdc_dyn.store.log import EVENTS, event_line, to_text

if TYPE_CHECKING:
    from rdc_dyn.store.checkpoint import Checkpoint
    from rdc_dyn.store.segments import Segment


@dataclass(kw_only=True)
class Store:
    """Keeps what a run computes: segments, if they are written, and the points and events, as logged, since the last.

    A run can resume from a lasting store after its process has died.
    """

    attributes: Mapping[str, str | int | float] = field(default_factory=dict)
    segments: list[Segment] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    lasting: ClassVar[bool]

    @property
    def count(self) -> int:
        """Number of points so far."""
        return sum(segment.points for segment in self.segments) + len(self.records)

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
        """End a segment of the trajectory."""

    def checkpoint(self, index: int, checkpoint: Checkpoint) -> None:
        """Store a state to resume from, after `index` accepted steps."""

    def finish(self, status: Mapping[str, str | int | float], *, whole: bool, theta: bool = True) -> xr.Dataset:
        """Build the trajectory; see `RunWriter.finish`."""
        raise NotImplementedError

    def discard(self) -> None:
        """Leave nothing behind."""

    def close(self) -> None:
        """Release all resources."""


class InMemory(Store):
    """Keeps a run in memory, without segments or checkpoints; it is lost with the process."""

    lasting = False

    def finish(self, status: Mapping[str, str | int | float], *, whole: bool, theta: bool = True) -> xr.Dataset:
        """Build the trajectory."""
        return to_dataset(self.records, {**self.attributes, **status, EVENTS: to_text(self.events)})

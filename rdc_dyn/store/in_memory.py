"""Where the points and events of a run go, and the store of a run without a directory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import xarray as xr

from rdc_dyn.record import Event, Record
from rdc_dyn.store.log import Logged, Mark, event_line
from rdc_dyn.store.run_directory import logged_trajectory

if TYPE_CHECKING:
    from rdc_dyn.store.checkpoint import Checkpoint


@dataclass(kw_only=True)
class Store:
    """Keeps what a run computes; a run can resume from a lasting store after its process has died.

    Attributes:
        count: Number of points so far.
    """

    attributes: Mapping[str, str | int | float] = field(default_factory=dict)
    count: int = 0
    lasting: ClassVar[bool]

    def begin(self, attributes: Mapping[str, str | int | float]) -> None:
        """Set the attributes of the trajectory."""
        self.attributes = dict(attributes)

    def record(self, record: Record) -> None:
        """Keep a point."""
        raise NotImplementedError

    def event(self, event: Event) -> None:
        """Keep an event."""
        raise NotImplementedError

    def mark(self) -> Mark:
        """The place that has been reached."""
        return Mark()

    def checkpoint(self, index: int, checkpoint: Checkpoint) -> None:
        """Store a state to resume from, after `index` accepted steps."""

    def finish(self, *, theta: bool = True) -> xr.Dataset:
        """Build the trajectory once the end is logged; see `RunWriter.finish`."""
        raise NotImplementedError

    def discard(self) -> None:
        """Leave nothing behind."""

    def close(self) -> None:
        """Release all resources."""


@dataclass(kw_only=True)
class InMemory(Store):
    """Keeps a run in memory, without checkpoints; it is lost with the process."""

    logged: Logged = field(default_factory=Logged)
    lasting = False

    def record(self, record: Record) -> None:
        """Keep a point."""
        self.logged.records.append(record)
        self.count += 1

    def event(self, event: Event) -> None:
        """Keep an event."""
        self.logged.events.append(event_line(event))

    def finish(self, *, theta: bool = True) -> xr.Dataset:
        """Build the trajectory."""
        self.logged.attributes = dict(self.attributes)
        return logged_trajectory(self.logged)

"""Where the points and events of a run go: memory, or a directory from which a run can resume after every commit."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import xarray as xr

from rdc_dyn.record import Event, Record
from rdc_dyn.status import DataError
from rdc_dyn.store import disk
from rdc_dyn.store.commit import commit, require_space, temporaries
from rdc_dyn.store.dataset import write_netcdf
from rdc_dyn.store.disk import below, reported
from rdc_dyn.store.lock import LOCK, Lock
from rdc_dyn.store.log import LOG, Log, Logged, Mark, event_line, read_log, record_line
from rdc_dyn.store.run_directory import (
    CHECKPOINTS,
    DIGESTS,
    SCENARIO,
    TRAJECTORY,
    checkpoints,
    logged_trajectory,
    require_vacant,
    write_digests,
)

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


#: Number of checkpoints that are kept.
KEPT = 2
#: Generous estimate of the bytes that a commit takes besides tensors.
_SPARE = 2 << 20


@dataclass
class RunWriter(Store):
    """Writes a run directory while the run goes on.

    Points and events go to the log at once. A checkpoint names the end of the log that it belongs to, and a run that
    resumes cuts the log back to there, so that what it computes anew stands in the log once. The lock is held until
    the writer is closed.
    """

    path: Path
    lock: Lock
    log: Log
    lasting = True

    @classmethod
    def create(cls, path: Path, scenario: str) -> RunWriter:
        """Create the directory with the resolved scenario, as YAML; UserError if it already holds something."""
        with reported(path, "cannot write the run directory"), ExitStack() as held:
            require_vacant(path)
            disk.make_folder(path)
            lock = Lock.take(path, "another run")
            held.callback(lock.release)
            require_vacant(path)  # another process may have come between the check and the lock
            require_space(path, _SPARE)
            disk.make_folder(path / CHECKPOINTS)
            for file in temporaries(path):
                disk.remove(file)
            commit(path / SCENARIO, scenario.encode())
            writer = cls(path, lock, Log.open(path))
            held.pop_all()
            return writer

    @classmethod
    def reopen(cls, path: Path, lock: Lock, found: tuple[Path, Mark, int] | None) -> RunWriter:
        """Go on in a locked directory from a checkpoint: its file, and mark and number of points of its log.

        None begins again. Everything that came after is removed, as are temporary files.
        """
        used, mark, count = (None, Mark(), 0) if found is None else found
        # `open_run` would prefer these two to the log, which goes on. Digests are written last, so they go first.
        disk.remove(path / DIGESTS)
        with suppress(OSError):  # flushed, so that no power cut brings them back
            disk.flush(path)
        disk.remove(path / TRAJECTORY)
        for file in checkpoints(path):
            if used is None or int(file.stem) > int(used.stem):
                disk.remove(file)
        folder = below(path, CHECKPOINTS)
        with reported(folder):
            disk.make_folder(folder)
        for file in (*temporaries(path), *temporaries(folder)):
            disk.remove(file)
        writer = cls(path, lock, Log.open(path, mark))
        writer.count = count
        return writer

    def begin(self, attributes: Mapping[str, str | int | float]) -> None:
        """Log the attributes of the trajectory; the last ones count."""
        super().begin(attributes)
        self.log.line({"event": "attributes", "attributes": attributes})

    def record(self, record: Record) -> None:
        """Log a point."""
        self.log.line(record_line(record))
        self.count += 1

    def event(self, event: Event) -> None:
        """Log an event."""
        self.log.line(event_line(event))

    def mark(self) -> Mark:
        """The end of the log."""
        return self.log.mark

    def checkpoint(self, index: int, checkpoint: Checkpoint) -> None:
        """Commit the checkpoint after `index` accepted steps and remove all but the last `KEPT`."""
        from rdc_dyn.store.checkpoint import save_checkpoint

        size = sum(tensor.numel() * tensor.element_size() for tensor in checkpoint.tensors.values())
        require_space(self.path, size + _SPARE)
        save_checkpoint(self.path / CHECKPOINTS / f"{index:06d}.safetensors", checkpoint)
        for file in checkpoints(self.path)[KEPT:]:
            disk.remove(file)

    def finish(self, *, theta: bool = True) -> xr.Dataset:
        """Commit `trajectory.nc`, built from the log, and the digests; the checkpoints stay only if `theta`."""
        logged = read_log(self.path)
        if logged.mark != self.log.mark:
            raise DataError(logged.damage or f"{self.path / LOG}: changed while the run went on")
        trajectory = logged_trajectory(logged)
        require_space(self.path, trajectory.nbytes + _SPARE)
        write_netcdf(trajectory, self.path / TRAJECTORY)
        passing = [] if theta else checkpoints(self.path)
        write_digests(self.path, without=passing)
        for file in passing:
            disk.remove(file)
        self.close()
        return trajectory

    def discard(self) -> None:
        """Remove all that was written, for a run that turned out to be a mistake before its first record.

        What cannot be removed stays, and is a run that can begin again as long as its scenario is there.
        """
        self.log.close()
        with suppress(OSError, DataError):
            for file in (*checkpoints(self.path), *(self.path / name for name in (LOG, SCENARIO, LOCK))):
                disk.remove(file)
            for folder in (self.path / CHECKPOINTS, self.path):
                folder.rmdir()
        self.close()

    def close(self) -> None:
        """Close the log and release the directory."""
        self.log.close()
        self.lock.release()

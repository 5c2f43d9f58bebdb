"""Writing a run directory: after every commit it is one that a run can resume from."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

from rdc_dyn.output.commit import commit_text, remove, require_space, temporaries
from rdc_dyn.output.dataset import joined, to_dataset
from rdc_dyn.output.events import EVENTS, to_text
from rdc_dyn.output.lock import LOCK, Lock
from rdc_dyn.output.log import LOG, Log, event_line, record_line
from rdc_dyn.output.netcdf import write_netcdf
from rdc_dyn.output.record import Event, Record
from rdc_dyn.output.run_directory import CHECKPOINTS, DIGESTS, SCENARIO, TRAJECTORY, checkpoints, vacant, write_digests
from rdc_dyn.output.segments import SEGMENTS, Segment, read_segment, write_segment
from rdc_dyn.status import DataError, UserError

if TYPE_CHECKING:
    from rdc_dyn.output.checkpoint import Checkpoint

#: Number of checkpoints that are kept.
KEPT = 2
#: Generous estimate of the bytes that a commit takes besides tensors.
_SPARE = 2 << 20


@dataclass
class RunWriter:
    """Writes a run directory while the run goes on.

    The points since the last segment are committed as a segment first, then a checkpoint that refers to it. Whatever no
    checkpoint refers to is written anew by a run that resumes. Segments end at fixed numbers of points, so they are the
    same whether or not the run was interrupted.

    Attributes:
        lock: Held until the writer is closed.
        attributes: Attributes of the trajectory.
        segments: Segments on disk that the next checkpoint will refer to.
        records: Points since the last segment.
        events: Events since the last segment, as logged.
        lasting: Whether a run can resume from here after its process has died.
    """

    path: Path
    lock: Lock
    log: Log
    attributes: Mapping[str, str | int | float] = field(default_factory=dict)
    segments: list[Segment] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    lasting: bool = True

    @classmethod
    def create(cls, path: Path, scenario: str) -> RunWriter:
        """Create the directory and write the resolved scenario, as YAML, into it.

        Raises UserError if the directory already holds something, and DataError if it cannot be made.
        """
        refusal = UserError(f"{path}: already exists and is not empty; name another run directory with -o")
        try:
            if not vacant(path):
                raise refusal
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"{path}: cannot write the run directory ({error.strerror or error})") from None
        lock = Lock.take(path, "another run")
        try:
            if not vacant(path):  # another process may have come between the check and the lock
                raise refusal
            require_space(path, _SPARE)
            for folder in (CHECKPOINTS, SEGMENTS):
                (path / folder).mkdir(exist_ok=True)
            remove(temporaries(path))
            commit_text(path / SCENARIO, scenario)
            return cls(path, lock, Log.open(path))
        except OSError as error:
            lock.release()
            raise DataError(f"{path}: cannot write the run directory ({error.strerror or error})") from None
        except BaseException:
            lock.release()
            raise

    @classmethod
    def reopen(cls, path: Path, lock: Lock, found: tuple[Path, Checkpoint] | None, text: str) -> RunWriter:
        """Resume in a locked directory from a checkpoint and its file, or from the beginning if there is none.

        Files that the checkpoint does not refer to, and temporary files, are removed. `text` is a sentence for the log.
        """
        used, checkpoint = (None, None) if found is None else found
        segments = [] if checkpoint is None else list(checkpoint.segments)
        # `open_run` would prefer these two to the log, which goes on. Digests are written last, so they go first.
        remove([path / DIGESTS], at_once=True)
        remove([path / TRAJECTORY])
        newer = checkpoints(path) if used is None else [c for c in checkpoints(path) if int(c.stem) > int(used.stem)]
        remove(newer)
        for folder in (CHECKPOINTS, SEGMENTS):
            (path / folder).mkdir(exist_ok=True)
        known = {segment.name for segment in segments}
        remove(file for file in (path / SEGMENTS).glob("*.nc") if file.name not in known)
        remove(file for folder in (path, path / SEGMENTS, path / CHECKPOINTS) for file in temporaries(folder))
        writer = cls(path, lock, Log.open(path), {}, segments)
        if checkpoint is not None:
            writer.records, writer.events = list(checkpoint.records), [dict(event) for event in checkpoint.events]
        counts = {"records": writer.count, "events": writer.happened}
        time = None if checkpoint is None else checkpoint.time
        writer.log.line({"event": "resumed", "time": time, "text": text, **counts})
        return writer

    @property
    def count(self) -> int:
        """Number of points so far."""
        return sum(segment.points for segment in self.segments) + len(self.records)

    @property
    def happened(self) -> int:
        """Number of events so far."""
        return sum(segment.events for segment in self.segments) + len(self.events)

    def begin(self, attributes: Mapping[str, str | int | float]) -> None:
        """Log the attributes of the trajectory, so that an unfinished run has them too."""
        self.attributes = dict(attributes)
        self.log.line({"event": "attributes", "attributes": dict(attributes)})

    def record(self, record: Record) -> None:
        """Log and keep a point."""
        self.log.line(record_line(record))
        self.records.append(record)

    def event(self, event: Event) -> None:
        """Log and keep an event."""
        self.log.line(event_line(event))
        self.events.append(event_line(event))

    def cut(self) -> None:
        """Commit the points since the last segment as a segment."""
        if self.records:
            require_space(self.path, _SPARE)
            self._cut()

    def _cut(self) -> None:
        number = len(self.segments)
        self.segments.append(write_segment(self.path, number, self.records, self.events, self.attributes))
        self.records, self.events = [], []

    def checkpoint(self, index: int, checkpoint: Checkpoint) -> None:
        """Commit the checkpoint after `index` accepted steps and remove all but the last `KEPT`."""
        from rdc_dyn.output.checkpoint import save_checkpoint

        size = sum(tensor.numel() * tensor.element_size() for tensor in checkpoint.tensors.values())
        require_space(self.path, size + _SPARE)
        save_checkpoint(self.path / CHECKPOINTS / f"{index:06d}.safetensors", checkpoint)
        remove(checkpoints(self.path)[KEPT:])

    def finish(self, status: Mapping[str, str | int | float], *, whole: bool, theta: bool = True) -> xr.Dataset:
        """Commit `trajectory.nc`, made of the segments, and close; attributes in `status` say how the run ended.

        `whole` says that nothing is to come; otherwise the points since the last segment stay out of the segments, so
        that a resumed run has the same ones. The checkpoints of a whole run are kept only if `theta`.
        """
        if whole and (self.records or self.events):
            self._cut()
        parts = [read_segment(self.path, segment) for segment in self.segments]
        texts = [part.attrs[EVENTS] for part in parts] + [to_text(self.events)]
        if self.records or not parts:
            parts.append(to_dataset(self.records, {}))
        attributes = {**self.attributes, **status, EVENTS: "\n".join(text for text in texts if text)}
        trajectory = joined(parts, attributes)
        require_space(self.path, trajectory.nbytes + _SPARE)
        write_netcdf(trajectory, self.path / TRAJECTORY)
        passing = checkpoints(self.path) if whole and not theta else []
        write_digests(self.path, without=passing)
        remove(passing)
        self.close()
        return trajectory

    def discard(self) -> None:
        """Remove what `create` made, for a run that turned out to be a mistake before its first record."""
        self.log.close()
        with suppress(OSError):
            for file in (self.path / LOG, self.path / SCENARIO, self.path / LOCK):
                file.unlink(missing_ok=True)
            for folder in (self.path / CHECKPOINTS, self.path / SEGMENTS, self.path):
                folder.rmdir()
        self.close()

    def close(self) -> None:
        """Close the log and release the directory."""
        self.log.close()
        self.lock.release()

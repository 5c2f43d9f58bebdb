"""A run directory, as it is written: every commit leaves a directory that a run can go on from."""

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

#: Checkpoints that are kept.
KEPT = 2
#: Bytes that a commit takes besides tensors, generously.
_SPARE = 2 << 20


@dataclass
class RunWriter:
    """Writes a run directory while the run goes on.

    The order of commits: the points since the last piece become a piece, then a checkpoint says that there is one. What
    no checkpoint knows is written anew by a run that goes on from there. Pieces are the same whether it was interrupted
    or not, since their ends are given by the numbers of the points.

    Attributes:
        path: The directory.
        lock: Held as long as the writer lives.
        log: The log.
        attributes: Of the trajectory.
        segments: Pieces on the disk that the next checkpoint will know.
        records: Points since the last piece.
        events: Events since the last piece, as the log has them.
        lasting: A run can go on from here after its process has died.
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
        """Make the directory and write the resolved scenario into it.

        Args:
            path: Directory that does not exist yet, or is empty.
            scenario: YAML text.

        Returns:
            The writer.

        Raises:
            UserError: If the directory already holds something (exit code 2).
            DataError: If it cannot be made (exit code 4).
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
            if not vacant(path):  # by another process, between the look and the lock
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
        """Go on in a directory from a checkpoint, or from the beginning.

        Args:
            path: The directory.
            lock: Held on it.
            found: Where to go on, and its file; None where the run died before its first point.
            text: A sentence for the log.

        Returns:
            The writer. Files that the checkpoint does not know are gone, and what was left half written.
        """
        used, checkpoint = (None, None) if found is None else found
        segments = [] if checkpoint is None else list(checkpoint.segments)
        # Of the part so far: `open_run` is to show what goes on, and digests come last and go first.
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
        """Points so far."""
        return sum(segment.points for segment in self.segments) + len(self.records)

    @property
    def happened(self) -> int:
        """Events so far."""
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
        """Commit the points since the last piece as a piece."""
        if self.records:
            require_space(self.path, _SPARE)
            self._cut()

    def _cut(self) -> None:
        number = len(self.segments)
        self.segments.append(write_segment(self.path, number, self.records, self.events, self.attributes))
        self.records, self.events = [], []

    def checkpoint(self, index: int, checkpoint: Checkpoint) -> None:
        """Commit a checkpoint and let go of all but the last two.

        Args:
            index: Number of accepted steps.
            checkpoint: Its state, with what was recorded before it.
        """
        from rdc_dyn.output.checkpoint import save_checkpoint

        size = sum(tensor.numel() * tensor.element_size() for tensor in checkpoint.tensors.values())
        require_space(self.path, size + _SPARE)
        save_checkpoint(self.path / CHECKPOINTS / f"{index:06d}.safetensors", checkpoint)
        remove(checkpoints(self.path)[KEPT:])

    def finish(self, status: Mapping[str, str | int | float], *, whole: bool, theta: bool = True) -> xr.Dataset:
        """Commit `trajectory.nc`, made of the pieces.

        Args:
            status: How the run ended, as attributes.
            whole: Whether nothing is to come; else the points since the last piece stay out of the pieces, for a run
                that goes on to have the same pieces.
            theta: Whether checkpoints stay when nothing is to come.

        Returns:
            The trajectory.
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
        """Close the log and let go of the directory."""
        self.log.close()
        self.lock.release()

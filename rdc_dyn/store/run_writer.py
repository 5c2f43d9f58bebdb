"""Writing a run directory: after every commit it is one that a run can resume from."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import xarray as xr

from rdc_dyn.record import Event, Record
from rdc_dyn.status import UserError
from rdc_dyn.store.commit import commit, flush, remove, reported, require_space, temporaries
from rdc_dyn.store.dataset import joined, to_dataset
from rdc_dyn.store.in_memory import Store
from rdc_dyn.store.lock import LOCK, Lock
from rdc_dyn.store.log import EVENTS, LOG, Log, event_line, record_line, to_text
from rdc_dyn.store.netcdf import write_netcdf
from rdc_dyn.store.run_directory import CHECKPOINTS, DIGESTS, SCENARIO, TRAJECTORY, checkpoints, vacant, write_digests
from rdc_dyn.store.segments import SEGMENTS, read_segment, write_segment

if TYPE_CHECKING:
    from rdc_dyn.store.checkpoint import Checkpoint

#: Number of checkpoints that are kept.
KEPT = 2
#: Generous estimate of the bytes that a commit takes besides tensors.
_SPARE = 2 << 20


@dataclass
class RunWriter(Store):
    """Writes a run directory while the run goes on.

    The points since the last segment are committed as a segment first, then a checkpoint that refers to it. Whatever no
    checkpoint refers to is written anew by a run that resumes. Segments end at fixed numbers of points, so they are the
    same whether or not the run was interrupted. The lock is held until the writer is closed.
    """

    path: Path
    lock: Lock
    log: Log
    lasting = True

    @classmethod
    def create(cls, path: Path, scenario: str) -> RunWriter:
        """Create the directory with the resolved scenario, as YAML; UserError if it already holds something."""
        refusal = UserError(f"{path}: already exists and is not empty; name another run directory with -o")
        with reported(path, "cannot write the run directory"), ExitStack() as held:
            if not vacant(path):
                raise refusal
            path.mkdir(parents=True, exist_ok=True)
            lock = Lock.take(path, "another run")
            held.callback(lock.release)
            if not vacant(path):  # another process may have come between the check and the lock
                raise refusal
            require_space(path, _SPARE)
            for folder in (CHECKPOINTS, SEGMENTS):
                (path / folder).mkdir(exist_ok=True)
            remove(temporaries(path))
            commit(path / SCENARIO, lambda file: file.write_bytes(scenario.encode()))
            writer = cls(path, lock, Log.open(path))
            held.pop_all()
            return writer

    @classmethod
    def reopen(cls, path: Path, lock: Lock, found: tuple[Path, Checkpoint] | None, text: str) -> RunWriter:
        """Resume in a locked directory from a checkpoint and its file, or from the beginning if there is none.

        Files that the checkpoint does not refer to, and temporary files, are removed. `text` is a sentence for the log.
        """
        used, checkpoint = (None, None) if found is None else found
        # `open_run` would prefer these two to the log, which goes on. Digests are written last, so they go first.
        remove([path / DIGESTS])
        with suppress(OSError):  # flushed, so that no power cut brings them back
            flush(path)
        remove([path / TRAJECTORY])
        remove(file for file in checkpoints(path) if used is None or int(file.stem) > int(used.stem))
        for folder in (CHECKPOINTS, SEGMENTS):
            (path / folder).mkdir(exist_ok=True)
        known = set() if checkpoint is None else {segment.name for segment in checkpoint.segments}
        remove(file for file in (path / SEGMENTS).glob("*.nc") if file.name not in known)
        remove(file for folder in (path, path / SEGMENTS, path / CHECKPOINTS) for file in temporaries(folder))
        writer = cls(path, lock, Log.open(path))
        if checkpoint is not None:
            writer.segments, writer.records = list(checkpoint.segments), list(checkpoint.records)
            writer.events = [dict(event) for event in checkpoint.events]
        time = None if checkpoint is None else checkpoint.time
        events = sum(segment.events for segment in writer.segments) + len(writer.events)
        writer.log.line({"event": "resumed", "time": time, "text": text, "records": writer.count, "events": events})
        return writer

    def begin(self, attributes: Mapping[str, str | int | float]) -> None:
        """Log the attributes of the trajectory, so that an unfinished run has them too."""
        super().begin(attributes)
        self.log.line({"event": "attributes", "attributes": attributes})

    def record(self, record: Record) -> None:
        """Log and keep a point."""
        self.log.line(record_line(record))
        super().record(record)

    def event(self, event: Event) -> None:
        """Log and keep an event."""
        self.log.line(event_line(event))
        super().event(event)

    def cut(self) -> None:
        """Commit the points since the last segment as a segment."""
        if self.records:
            require_space(self.path, _SPARE)
            self._cut()

    def _cut(self) -> None:
        segment = write_segment(self.path, len(self.segments), self.records, self.events, self.attributes)
        self.segments.append(segment)
        self.records, self.events = [], []

    def checkpoint(self, index: int, checkpoint: Checkpoint) -> None:
        """Commit the checkpoint after `index` accepted steps and remove all but the last `KEPT`."""
        from rdc_dyn.store.checkpoint import save_checkpoint

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

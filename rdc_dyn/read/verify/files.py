"""Check the digest of every file, and whether trajectory, segments, log and scenario agree."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import xarray as xr

from rdc_dyn.read.verify.finding import Finding
from rdc_dyn.status import DataError
from rdc_dyn.store.checkpoint import Checkpoint, load_checkpoint
from rdc_dyn.store.commit import sha256
from rdc_dyn.store.dataset import joined
from rdc_dyn.store.log import LOG, read_log
from rdc_dyn.store.run_directory import DIGESTS, SCENARIO, TRAJECTORY, checkpoints, read_digests
from rdc_dyn.store.segments import SEGMENTS, Segment, read_segment


def files(run: Path, trajectory: xr.Dataset | None) -> Iterator[Finding]:
    """Check the files of a run; `trajectory` is None if it cannot be opened."""
    yield _digests(run)
    known = list[Checkpoint]()
    for file in checkpoints(run):
        try:
            known.append(load_checkpoint(file))
            wrong = ""
        except DataError as error:
            wrong = str(error)
        yield Finding.of(f"checkpoint {file.stem}", wrong, "its digest and its shapes are right")
    segments = _segments(run, known)
    parts = list[xr.Dataset]()
    for segment in segments:
        try:
            parts.append(read_segment(run, segment))
        except DataError as error:
            yield Finding.of(f"segment {segment.name}", str(error), "")
    if segments and len(parts) == len(segments):
        yield Finding.of("segments", "", f"{len(parts)} with the digests that they were written with")
    if trajectory is None:
        return
    if parts and len(parts) == len(segments):
        yield Finding.of("trajectory and segments", _differs(trajectory, parts), "the same numbers")
    yield Finding.of("scenario", _scenario(run, trajectory), "the trajectory carries it, with its digest")
    yield Finding.of("log", _log(run, trajectory), "the same points")


def _digests(run: Path) -> Finding:
    try:
        listed = read_digests(run)
        if not listed:
            return Finding(DIGESTS, "open", "the run has not ended, so there is none yet")
        wrong = [name for name, digest in listed.items() if not _is(run / name, digest)]
    except DataError as error:
        return Finding.of(DIGESTS, str(error), "")
    return Finding.of(
        DIGESTS, f"other bytes than when they were written: {', '.join(wrong)}" * bool(wrong), f"{len(listed)} files"
    )


def _is(file: Path, digest: str) -> bool:
    try:
        return sha256(file) == digest
    except OSError:
        return False


def _segments(run: Path, known: list[Checkpoint]) -> list[Segment]:
    """Segments known to the newest checkpoint, and the last one of a run that has ended."""
    segments = list(known[0].segments) if known else []
    names = {segment.name for segment in segments}
    try:
        listed = read_digests(run)
    except DataError:
        return segments
    rest = sorted(name.partition("/")[2] for name in listed if name.startswith(f"{SEGMENTS}/"))
    return segments + [Segment(name, listed[f"{SEGMENTS}/{name}"], 0, 0) for name in rest if name not in names]


def _differs(trajectory: xr.Dataset, parts: list[xr.Dataset]) -> str:
    """How the trajectory differs from its segments, empty if it does not; an unfinished one may have more points."""
    pieces = joined(parts, {})
    count = pieces.sizes["time"]
    if trajectory.sizes["time"] < count:
        return f"{TRAJECTORY} has {trajectory.sizes['time']} points, the pieces have {count}"
    for name, variable in pieces.variables.items():
        if variable.dtype.kind == "f":
            column = trajectory[name].values[..., :count] if name in trajectory else None
            if column is None or not np.array_equal(column, variable.values, equal_nan=True):
                return f"{name} differs"
    return ""


def _scenario(run: Path, trajectory: xr.Dataset) -> str:
    text = str(trajectory.attrs["scenario"])
    if hashlib.sha256(text.encode()).hexdigest() != trajectory.attrs.get("scenario_sha256"):
        return "the trajectory's attributes scenario and scenario_sha256 do not belong together"
    try:
        same = (run / SCENARIO).read_text(encoding="utf-8") == text
    except (OSError, UnicodeDecodeError) as error:
        return f"{SCENARIO} cannot be read ({error})"
    return "" if same else f"{SCENARIO} is not the scenario that the trajectory carries"


def _log(run: Path, trajectory: xr.Dataset) -> str:
    try:
        records, _, _ = read_log(run)
    except DataError as error:
        return str(error)
    times = np.array([record.time for record in records])
    if not np.array_equal(times, trajectory["time"].values):
        return f"{LOG} has {len(times)} points, the trajectory {trajectory.sizes['time']}, or other times"
    return ""

"""`segments/NNNNNN.nc`: the trajectory in segments that are written once and never changed, each with its digest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr

from rdc_dyn.record import Record
from rdc_dyn.status import DataError
from rdc_dyn.store.commit import reported, sha256
from rdc_dyn.store.dataset import require_trajectory, to_dataset
from rdc_dyn.store.log import EVENTS, read_log, to_text
from rdc_dyn.store.netcdf import read_netcdf, write_netcdf

SEGMENTS = "segments"


@dataclass(frozen=True)
class Segment:
    """A segment of a trajectory on disk: its file name, its digest, and its numbers of points and events."""

    name: str
    sha256: str
    points: int
    events: int

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Segment:
        """The segment that a mapping describes; raises KeyError, TypeError or ValueError if it describes none."""
        name = str(content["name"])
        if not (name.endswith(".nc") and name[:-3].isdigit()):
            raise ValueError(f"{name!r} is no segment")
        return cls(name, str(content["sha256"]), int(content["points"]), int(content["events"]))


def write_segment(
    run: Path,
    number: int,
    records: Sequence[Record],
    events: Sequence[Mapping[str, Any]],
    attributes: Mapping[str, str | int | float],
) -> Segment:
    """Commit segment `number`, counted from 0, of a run directory; it may have events and no records."""
    # The history depends on when a segment was written, not on what it holds.
    kept = {name: value for name, value in attributes.items() if name != "history"}
    name = f"{number:06d}.nc"
    digest = write_netcdf(to_dataset(records, {**kept, EVENTS: to_text(events)}), run / SEGMENTS / name)
    return Segment(name, digest, len(records), len(events))


def read_segment(run: Path, segment: Segment) -> xr.Dataset:
    """Read a segment as a trajectory once its digest is verified; DataError if it is missing or damaged."""
    file = run / SEGMENTS / segment.name
    require_whole(file, segment.sha256)
    piece = read_netcdf(file)
    require_trajectory(piece, file)
    return piece


def require_whole(path: Path, digest: str) -> None:
    """Raise DataError if a file is missing or has another SHA-256 than `digest`."""
    with reported(path, "cannot be read"):
        found = sha256(path)
    if found != digest:
        raise DataError(f"{path}: damaged, its bytes do not have the digest that they were written with")


def repair(run: Path, segments: Sequence[Segment]) -> list[str]:
    """Write those of all segments of a locked run that are damaged anew from the log and return their names.

    Raises DataError if the log does not reproduce the very bytes of a damaged segment.
    """
    mended: list[str] = []
    points = events = 0
    for number, segment in enumerate(segments):
        try:
            require_whole(run / SEGMENTS / segment.name, segment.sha256)
        except DataError as damage:
            records, happened, attributes = read_log(run)
            part = records[points : points + segment.points], happened[events : events + segment.events]
            if write_segment(run, number, *part, attributes).sha256 != segment.sha256:
                raise damage
            mended.append(segment.name)
        points, events = points + segment.points, events + segment.events
    return mended

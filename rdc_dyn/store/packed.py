"""Packed copies of trajectories: a thousand netCDF files take seconds to open, a thousand of these a moment.

A packed run is one line of JSON followed by the columns as raw float64. It is only a cache of `trajectory.nc`: it names
the size and modification time of the file that it was made from, and is made anew where they differ.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from rdc_dyn.status import DataError
from rdc_dyn.store.commit import replacing, reported

_FORMAT = "rdc_dyn packed run 1"
_TYPE = np.dtype("<f8")


@dataclass(frozen=True)
class Column:
    """Where a variable lies in a packed file: its first byte, counted from the end of the header, and its CRC-32."""

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    start: int
    checksum: int
    attributes: Mapping[str, str]


@dataclass(frozen=True)
class Packed:
    """A packed run, whose columns are read on demand; they begin at the byte `offset`.

    `source` is the stamp of the `trajectory.nc` that it was made from. `labels` are the coordinates that are words;
    `coordinates` names the columns that are coordinates.
    """

    path: Path
    source: tuple[int, int]
    attributes: Mapping[str, Any]
    labels: Mapping[str, Sequence[str]]
    coordinates: Sequence[str]
    columns: Mapping[str, Column]
    offset: int

    def read(self, name: str) -> np.ndarray:
        """Read one variable; DataError if the file is gone or damaged."""
        column = self.columns[name]
        with reported(self.path, "cannot be read"), open(self.path, "rb") as file:
            file.seek(self.offset + column.start)
            content = file.read(prod(column.shape) * _TYPE.itemsize)
        if zlib.crc32(content) != column.checksum:
            raise DataError(f"{self.path}: damaged; delete the folder {self.path.parent}, it is made anew")
        return np.frombuffer(content, _TYPE).reshape(column.shape).astype(np.float64)

    def dataset(self, *names: str) -> xr.Dataset:
        """Rebuild the trajectory with some of its variables, or all if none are named, and all of its coordinates."""
        wanted = [name for name in self.columns if not names or name in names or name in self.coordinates]
        variables = {n: xr.Variable(self.columns[n].dims, self.read(n), self.columns[n].attributes) for n in wanted}
        words = {name: xr.Variable(name, list(values)) for name, values in self.labels.items()}
        coordinates = {name: variables.pop(name) for name in self.coordinates}
        return xr.Dataset(variables, {**coordinates, **words}, dict(self.attributes))


def stamp(file: Path) -> tuple[int, int] | None:
    """Size in bytes and modification time in ns of a file, or None if there is none."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def pack(trajectory: xr.Dataset, source: tuple[int, int], target: Path) -> None:
    """Write a packed run in one step; `source` is the stamp of its `trajectory.nc`."""
    columns: dict[str, Any] = {}
    labels: dict[str, list[str]] = {}
    content = bytearray()
    for name, variable in trajectory.variables.items():
        if variable.dtype.kind != "f":
            labels[str(name)] = [str(word) for word in variable.values]
            continue
        raw = np.ascontiguousarray(variable.values, _TYPE).tobytes()
        columns[str(name)] = (variable.dims, variable.shape, len(content), zlib.crc32(raw), dict(variable.attrs))
        content += raw
    attributes = {k: v.item() if isinstance(v, np.generic) else v for k, v in trajectory.attrs.items()}
    coordinates = [str(name) for name in trajectory.coords if str(name) in columns]
    header = {"format": _FORMAT, "source": source, "attributes": attributes, "labels": labels}
    line = json.dumps({**header, "coordinates": coordinates, "columns": columns}) + "\n"
    with replacing(target) as temporary:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(line.encode() + content)


def read_packed(path: Path, source: tuple[int, int]) -> Packed | None:
    """Read the header of a packed run; None if it is unreadable, or made from a file with another stamp."""
    try:
        with open(path, "rb") as file:
            line = file.readline()
        header = json.loads(line)
        if header["format"] != _FORMAT or tuple(header["source"]) != source:
            return None
        columns = {
            name: Column(tuple(dims), tuple(shape), start, checksum, attributes)
            for name, (dims, shape, start, checksum, attributes) in header["columns"].items()
        }
        attributes, labels, coordinates = (header[name] for name in ("attributes", "labels", "coordinates"))
        return Packed(path, source, attributes, labels, coordinates, columns, len(line))
    except (OSError, ValueError, KeyError, TypeError):
        return None

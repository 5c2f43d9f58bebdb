"""A run of a sweep: its attributes and clock at once, its variables when they are needed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from rdc_dyn.record import CONTROLS
from rdc_dyn.status import DataError
from rdc_dyn.store.dataset import assembled, read_columns, to_columns, wrong_attributes
from rdc_dyn.store.disk import below
from rdc_dyn.store.log import LOG, read_log
from rdc_dyn.store.run_directory import TRAJECTORY, read_trajectory_file, trajectory_attributes

#: Size in bytes of the largest log that is read whole, which takes half the time of opening a netCDF file.
_SMALL = 1 << 19


@dataclass(frozen=True)
class LazyRun:
    """A run that has ended, of which the attributes and some columns, or all, are known.

    `digest` is that of its `trajectory.nc`; `names` are its variables but for the words.
    """

    path: Path
    digest: str
    attributes: Mapping[str, Any]
    names: tuple[str, ...]
    known: Mapping[str, np.ndarray] = field(repr=False, compare=False)

    @property
    def points(self) -> int:
        """Number of recorded points."""
        return int(self.known["time"].size)

    def read(self, name: str) -> np.ndarray:
        """One variable; DataError if it must be read, and the file is gone, damaged or another one."""
        if name in self.known:
            return self.known[name]
        content, digest = read_trajectory_file(self.path)
        if digest != self.digest:
            raise DataError(f"{self.path / TRAJECTORY}: has changed since it was opened")
        return read_columns(content, self.path / TRAJECTORY, (name,))[0][name]

    def dataset(self, *names: str) -> xr.Dataset:
        """The trajectory with some of its variables, or all if none are named, and all of its coordinates."""
        chosen = [name for name in self.names if not names or name in (*names, "time", *CONTROLS)]
        return assembled({name: self.read(name) for name in chosen}, self.attributes)


def open_lazily(run: Path) -> LazyRun | None:
    """A run directory, or None if its run has not ended; DataError if it is damaged."""
    try:
        content, digest = read_trajectory_file(run)
    except FileNotFoundError:
        return None
    log = below(run, LOG)
    if log.exists() and log.stat().st_size <= _SMALL:
        return _logged(run, digest)
    known, attributes, names = read_columns(content, run / TRAJECTORY, ("time", "wall_time"))
    return LazyRun(run, digest, attributes, names, known)


def _logged(run: Path, digest: str) -> LazyRun:
    logged = read_log(run)
    attributes = trajectory_attributes(logged)
    wrong = logged.damage or wrong_attributes(attributes) or ("it does not end" if not logged.ended else "")
    if wrong:
        raise DataError(f"{run / LOG}: damaged ({wrong}); see rdc-dyn verify")
    columns = to_columns(logged.records)
    return LazyRun(run, digest, attributes, tuple(columns), columns)

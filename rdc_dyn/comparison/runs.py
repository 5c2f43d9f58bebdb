"""Read the runs of a folder: trajectories with their scenarios, and records of what failed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from rdc_dyn.scenario import Scenario, ScenarioError, loads
from rdc_dyn.scenario.written import by_key
from rdc_dyn.status import DataError, Status
from rdc_dyn.store.disk import below
from rdc_dyn.store.log import LOG
from rdc_dyn.store.run_directory import TRAJECTORY, open_run
from rdc_dyn.store.sweep_directory import FAILED, RUNS, read_failure


@dataclass(frozen=True)
class Run:
    """A run, or what is left of it.

    Attributes:
        name: Name of its folder.
        trajectory: None if the run left no readable trajectory, or one without points.
        scenario: Resolved; None without a readable trajectory.
        values: The same by dotted key; only the swept keys if the run failed without a trajectory.
        status: Name of a `Status`, or RUNNING, FAILED or UNREADABLE.
    """

    name: str
    trajectory: xr.Dataset | None
    scenario: Scenario | None
    values: Mapping[str, Any]
    status: str
    message: str

    @property
    def completed(self) -> bool:
        """Whether it reached the end of its span."""
        return self.status == Status.COMPLETED.name and self.trajectory is not None


def read_runs(paths: Sequence[str | os.PathLike[str]]) -> list[Run]:
    """Read sweep directories, folders of run directories and run directories, sorted by name within each path.

    Raises DataError if a path does not exist or holds no run, or if two runs share a name.
    """
    runs = [run for path in paths for run in _read(Path(path))]
    seen: set[str] = set()
    for run in runs:
        if run.name in seen:
            raise DataError(f"compare: two runs are named {run.name!r}; rename one of the folders")
        seen.add(run.name)
    return runs


def _read(path: Path) -> list[Run]:
    if not path.is_dir():
        raise DataError(f"{path}: no such folder; expected a sweep, or a folder with run directories")
    if _is_run(path):
        return [_run(path.resolve())]
    swept = (path / RUNS).is_dir()
    folder = below(path, RUNS) if swept else path
    names = sorted(child.name for child in folder.iterdir() if _is_run(child))
    runs = [_run(below(folder, name) if swept else folder / name) for name in names]
    runs += _failures(below(path, FAILED))
    if not runs:
        raise DataError(f"{path}: holds no run directory with {TRAJECTORY}; expected a sweep or a folder of runs")
    return runs


def _is_run(path: Path) -> bool:
    """Whether a folder holds a run, or may not be looked into; then the run is unreadable."""
    try:
        return (path / TRAJECTORY).is_file() or (path / LOG).is_file()
    except OSError:
        return path.is_dir()


def _run(path: Path) -> Run:
    try:
        trajectory = open_run(path)
        scenario = loads(trajectory.attrs["scenario"], str(path))
    except (DataError, ScenarioError, OSError) as error:
        return Run(path.name, None, None, {}, "UNREADABLE", str(error).splitlines()[0])
    status, message = str(trajectory.attrs["status"]), str(trajectory.attrs["status_message"])
    clock = np.diff(trajectory["time"].values)
    if not ((clock > 0).all() or (clock < 0).all()):  # NaN fails both tests
        return Run(path.name, None, None, {}, "UNREADABLE", f"{path}: its clock stands still or turns round")
    points = trajectory if trajectory.sizes["time"] else None
    return Run(path.name, points, scenario, by_key(scenario.model_dump(by_alias=True, mode="json")), status, message)


def _failures(folder: Path) -> Iterator[Run]:
    for file in sorted(folder.glob("*.json")):
        try:
            content = read_failure(file)
            yield Run(file.stem, None, None, by_key(content["values"]), "FAILED", str(content["message"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            told = f"{file}: not a readable record of a failed run ({error})"
            yield Run(file.stem, None, None, {}, "UNREADABLE", told)

"""Read the runs of a folder, and group them into problems, and series of which each has one method."""

import hashlib
import os
from collections import defaultdict
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


#: Keys that do not affect the result.
_IGNORED = ("name", "threads", "output.")
#: Keys that say how a problem is solved; all others say which problem it is.
_NUMERICS = (
    "integrator.",
    "corrector.",
    "response.",
    "linearisation.",
    "dtype",
    "device",
    "start.equilibrate.",
    "process.look_ahead",
)
_STEP, _RTOL, _ATOL = "integrator.step_size", "integrator.rtol", "integrator.atol"
_MISSING = object()


def swept_keys(runs: Sequence[Run]) -> list[str]:
    """Dotted keys that differ between runs, the integrator's method first.

    A key that some runs lack, because their section has another `kind` or `method`, counts only if its value differs
    among the runs that have it.
    """
    told = [run.values for run in runs if run.values]
    keys = [key for key in dict.fromkeys(k for values in told for k in values) if not key.startswith(_IGNORED)]
    swept = [key for key in keys if _differs(key, told)]
    return sorted(swept, key=lambda key: key != "integrator.method")


def _differs(key: str, told: Sequence[Mapping[str, Any]]) -> bool:
    return len({repr(values[key]) for values in told if key in values}) > 1


def resolution_key(values: Mapping[str, Any]) -> str:
    """The key that makes a run finer: the step size, or rtol for a method that controls its error."""
    return _RTOL if values.get(_RTOL) is not None and values.get(_ATOL) is not None else _STEP


def series_names(runs: Sequence[Run], swept: Sequence[str]) -> list[str]:
    """A name for each run, such as "rk4, no corrector", shared by runs that differ in resolution alone."""
    crossed = _crossed_tolerances(runs)
    names = []
    for run in runs:
        own = resolution_key(run.values)
        # If rtol and atol vary together, they are one tolerance; if they are crossed, each atol makes a series.
        left = {own} | ({_ATOL} if own == _RTOL and not crossed else set())
        alike = [other.values for other in runs if resolution_key(other.values) == own]
        keys = [key for key in swept if key not in left and key in run.values and _tells(key, alike)]
        if "integrator.method" in run.values and "integrator.method" not in keys:
            keys = ["integrator.method", *keys]
        names.append(", ".join(_word(key, run.values[key], keys) for key in keys) or "all")
    return names


def _tells(key: str, alike: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a key belongs in a name; a key of the integrator other than its method must differ among `alike`."""
    return not key.startswith("integrator.") or key == "integrator.method" or _differs(key, alike)


def _crossed_tolerances(runs: Sequence[Run]) -> bool:
    pairs = {(r.values[_RTOL], r.values[_ATOL]) for r in runs if resolution_key(r.values) == _RTOL}
    return len({rtol for rtol, _ in pairs}) < len(pairs)


def _word(key: str, value: Any, keys: Sequence[str]) -> str:
    *_, family, last = ["", *key.split(".")]
    if isinstance(value, str) and last in ("method", "kind"):
        return f"no {family}" if value == "none" else value
    if len(text := str(value)) > 24:  # such as a matrix
        value = f"#{hashlib.sha256(text.encode()).hexdigest()[:6]}"
    short = last if sum(other.split(".")[-1] == last for other in keys) == 1 else key
    return f"{short}={value:g}" if _number(value) else f"{short}={value}"


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def problem_groups(runs: Sequence[Run], exact: Sequence[bool]) -> list[list[int]]:
    """Indices of the runs that solve each problem: their data and all but their numerical settings are equal.

    Another seed is another problem, since it selects another equilibrium to start from, unless a closed form (`exact`)
    says that there is only one. Problems come in the order of their first runs; runs without a trajectory are in none.
    """
    groups: dict[str, list[int]] = defaultdict(list)
    for index, run in enumerate(runs):
        if run.trajectory is not None:
            groups[repr(sorted(_problem(run, exact[index]).items()))].append(index)
    return list(groups.values())


def _problem(run: Run, exact: bool) -> dict[str, str]:
    assert run.trajectory is not None
    left = (*_IGNORED, *_NUMERICS, *(("seed",) if exact else ()))
    keys = {key: repr(value) for key, value in run.values.items() if not key.startswith(left)}
    attributes = ("data_digest", "coupling_digest")
    return keys | {name: str(run.trajectory.attrs.get(name)) for name in attributes}


def difference(one: Run, other: Run) -> str:
    """The first key in which the problems of two runs with trajectories differ, with both values."""
    a, b = _problem(one, False), _problem(other, False)
    key = next((key for key in [*a, *b] if a.get(key, _MISSING) != b.get(key, _MISSING)), "nothing")
    return f"{key} ({_short(a.get(key))} in {one.name}, {_short(b.get(key))} in {other.name})"


def _short(text: str | None) -> str:
    return "missing" if text is None else text if len(text) <= 24 else f"{text[:21]}..."

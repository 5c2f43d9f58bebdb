"""A sweep directory: `sweep.json`, `runs/NAME/` and `failed/NAME.json`."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rdc_dyn.status import RESUMABLE, DataError, Status
from rdc_dyn.store import disk
from rdc_dyn.store.commit import one_line
from rdc_dyn.store.disk import below, reported
from rdc_dyn.store.swept_keys import text_of

if TYPE_CHECKING:
    from rdc_dyn.store.lazy_run import LazyRun

MANIFEST, RUNS, FAILED = "sweep.json", "runs", "failed"
FORMAT = "rdc_dyn sweep 1"
#: Sizes in bytes of the largest manifest, and of the largest record of a failure, that are read.
_MOST, _MOST_FAILED = 1 << 30, 16 << 20
_NAME = re.compile("[0-9a-f]{12}")

State = Literal["done", "failed", "missing"]


@dataclass(frozen=True)
class Manifest:
    """What a sweep is made of: the program with its version and commit, the swept scenario as YAML, keys and points.

    A point has the name of its run, and values of those swept keys that its scenario has.
    """

    path: Path
    program: str
    scenario: str
    keys: tuple[str, ...]
    points: Mapping[str, Mapping[str, Any]]

    def run(self, name: str) -> Path:
        """The run directory of a point; DataError if a link stands there."""
        return below(self.path, RUNS, name)

    def failure(self, name: str) -> Path:
        """The file that says why a point has no trajectory; DataError if a link stands there."""
        return below(self.path, FAILED, f"{name}.json")


@dataclass(frozen=True)
class SweptRun:
    """A point of a sweep, as it is on disk; its name is the hash of its resolved scenario.

    Attributes:
        state: done: it ran to its end; failed: it stopped numerically or left no trajectory; missing: neither.
        status: Name of a `Status`, FAILED without a trajectory, or MISSING; the message explains it.
    """

    name: str
    values: Mapping[str, Any]
    state: State
    status: str
    message: str
    trajectory: LazyRun | None


@dataclass(frozen=True)
class Sweep:
    """A sweep, as it is on disk; its points are in the order of the manifest, which explains the other fields."""

    path: Path
    program: str
    scenario: str
    keys: tuple[str, ...]
    points: tuple[SweptRun, ...]


def read_manifest(path: str | os.PathLike[str]) -> Manifest:
    """Read the manifest of a sweep directory; DataError if it is missing or damaged."""
    path = Path(path)
    try:
        with reported(path, f"not a sweep directory, no readable {MANIFEST}"):
            content = json.loads(disk.read(path / MANIFEST, _MOST))
        if content["format"] != FORMAT:
            raise DataError(f"{path / MANIFEST}: of another format, {content['format']!r}; expected {FORMAT!r}")
        points = {str(point["name"]): dict(point["values"]) for point in content["points"]}
        odd = next((name for name in points if not _NAME.fullmatch(name)), None)
        if odd is not None:  # names are made into paths
            raise ValueError(f"{odd[:40]!r} is not the name of a run")
        return Manifest(path, content["program"], content["scenario"], tuple(content["keys"]), points)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{path / MANIFEST}: damaged ({one_line(error)})") from None


def read_sweep(path: str | os.PathLike[str]) -> Sweep:
    """Read a sweep directory; DataError if it is none. Variables of the trajectories are read on demand."""
    manifest = read_manifest(path)
    points = tuple(read_point(manifest, name) for name in manifest.points)
    return Sweep(manifest.path, manifest.program, manifest.scenario, manifest.keys, points)


def read_point(manifest: Manifest, name: str) -> SweptRun:
    """Read the state of a point from disk; a damaged trajectory counts as missing."""
    from rdc_dyn.store.lazy_run import open_lazily

    values = manifest.points[name]
    try:
        run = open_lazily(manifest.run(name))
    except DataError as error:
        return SweptRun(name, values, "missing", "MISSING", str(error), None)
    if run is not None:
        status, message = str(run.attributes.get("status", "MISSING")), str(run.attributes.get("status_message", ""))
        detail = run.attributes.get("status_detail")
        state: State = "done" if status == Status.COMPLETED.name else "missing" if status in RESUMABLE else "failed"
        return SweptRun(name, values, state, status, message + (f" ({detail})" if detail else ""), run)
    try:
        message = str(read_failure(manifest.failure(name))["message"])
    except (OSError, DataError, ValueError, KeyError, TypeError):
        return SweptRun(name, values, "missing", "MISSING", "not run yet", None)
    return SweptRun(name, values, "failed", "FAILED", message, None)


def read_failure(file: Path) -> Any:
    """The record of a failed point, JSON; raises OSError or ValueError if it cannot be read."""
    return json.loads(disk.read(file, _MOST_FAILED))


def value_list(points: tuple[SweptRun, ...], key: str) -> list[Any]:
    """Distinct values of a swept key in the order of the points, of which some may lack the key."""
    return list({text_of(p.values[key]): p.values[key] for p in points if key in p.values}.values())

"""What a sweep writes besides its runs: a manifest, records of failed points, and a lock that admits one writer."""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rdc_dyn.status import DataError, UserError
from rdc_dyn.store import disk
from rdc_dyn.store.commit import commit
from rdc_dyn.store.disk import below, reported
from rdc_dyn.store.lock import LOCK, BusyError, Lock
from rdc_dyn.store.provenance import program
from rdc_dyn.store.run_directory import checkpoints
from rdc_dyn.store.sweep_directory import FAILED, FORMAT, MANIFEST, RUNS, Manifest, read_manifest, read_point, sealed
from rdc_dyn.sweeps.grid import GridPoint


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a sweep directory, created if missing; the kernel releases it however the process dies.

    Raises UserError if another sweep holds the lock or the directory is not that of a sweep, and DataError if it cannot
    be created.
    """
    with reported(path, "cannot write the sweep directory"):
        if path.exists() and not (path / MANIFEST).exists() and (not path.is_dir() or _foreign(path)):
            raise UserError(f"{path}: already exists and is no sweep directory; name another one with -o")
        disk.make_folder(path)
    lock = Lock.take(path, "another sweep")
    try:
        yield
    finally:
        lock.release()


def _foreign(path: Path) -> bool:
    return any(entry.name != LOCK and not entry.name.startswith(f".{MANIFEST}.tmp-") for entry in path.iterdir())


#: Before the digest of modules that were passed, behind the scenario of a sweep.
NETWORKS = "# networks: "


def join_manifest(
    path: Path, scenario: str, keys: Sequence[str], points: Sequence[GridPoint], *, add: bool
) -> Manifest:
    """Create the manifest of a locked directory, or check that the points belong to it; return it as it is on disk.

    With `add`, points that it lacks are added. Raises UserError, naming the difference, if the directory is that of
    another sweep, and DataError if its manifest is damaged or cannot be written.
    """
    found = read_manifest(path) if (path / MANIFEST).exists() else None
    if found is not None and not any(_begun(found, name) for name in found.points):
        found = None  # nothing has been run, so another sweep may take the directory
    kept: Mapping[str, Mapping[str, Any]] = {} if found is None else found.points
    if found is not None:
        _check(found, keys, points, add=add)
        if found.scenario.partition(NETWORKS)[2] != scenario.partition(NETWORKS)[2]:
            raise UserError(f"{path}: its runs have other networks; pass those, or name another directory with -o")
    manifest = Manifest(path, program(), scenario, tuple(keys), {**kept, **{p.name: p.values for p in points}})
    content = {
        "format": FORMAT,
        "program": manifest.program,
        "scenario": scenario,
        "keys": list(keys),
        "points": [{"name": name, "values": dict(values)} for name, values in manifest.points.items()],
    }
    commit(path / MANIFEST, sealed(content))
    return manifest


def _begun(manifest: Manifest, name: str) -> bool:
    """Whether anything has been written for a point."""
    return manifest.run(name).exists() or manifest.failure(name).exists()


def _check(found: Manifest, keys: Sequence[str], points: Sequence[GridPoint], *, add: bool) -> None:
    """Raise UserError, naming the difference, if the points do not belong to the sweep that was found."""
    elsewhere = "name another directory with -o"
    if found.program != program():
        raise UserError(
            f"{found.path}: its runs are by {found.program}, this is {program()}; versions are not mixed in a sweep, "
            f"{elsewhere}"
        )
    if set(found.keys) != set(keys):
        raise UserError(f"{found.path}: sweeps {', '.join(found.keys)}, not {', '.join(keys)}; {elsewhere}")
    there = {json.dumps(values, sort_keys=True): name for name, values in found.points.items()}
    for point in points:
        other = there.get(json.dumps(point.values, sort_keys=True), point.name)
        if other != point.name:
            raise UserError(
                f"{found.path}: has a run with {_values(point)} of another scenario (see "
                f"{found.run(other)}/scenario.yaml); {elsewhere}"
            )
    new = [point for point in points if point.name not in found.points]
    if new and not add:
        more = f" and {len(new) - 1} more" * (len(new) > 1)
        raise UserError(
            f"{found.path}: is a sweep of {len(found.points)} points without {_values(new[0])}{more}; extend it with "
            f"--add (add=True), or {elsewhere}"
        )


def _values(point: GridPoint) -> str:
    return ", ".join(f"{key}={json.dumps(value)}" for key, value in point.values.items())


def clear(manifest: Manifest, name: str) -> None:
    """Remove the record of an earlier failure of a point; its run directory stays, from which the run may resume."""
    disk.remove(manifest.failure(name))
    with reported(manifest.path):
        disk.make_folder(below(manifest.path, RUNS))


def discard(run: Path) -> None:
    """Remove a run directory, unless a living process holds it (`BusyError`)."""
    if not run.exists():
        return
    lock = Lock.take(run, "another run")
    try:
        with reported(run, "cannot be removed"):
            shutil.rmtree(run)
    finally:
        lock.release()


def discard_unfinished(manifest: Manifest, names: Sequence[str]) -> None:
    """Remove the folders of runs that were cut off before their first checkpoint; the others can resume."""
    for name in names:
        try:
            if read_point(manifest, name).state == "missing" and not checkpoints(manifest.run(name)):
                discard(manifest.run(name))
        except (BusyError, DataError):  # in use, or not ours to judge
            continue


def write_failure(manifest: Manifest, name: str, exit_code: int, message: str, traceback: str) -> None:
    """Record a point that left no trajectory; `traceback` is empty unless the exception was unexpected."""
    content = {"name": name, "values": dict(manifest.points[name]), "exit_code": exit_code, "message": message}
    with reported(manifest.path):
        disk.make_folder(below(manifest.path, FAILED))
    told = content | ({"traceback": traceback} if traceback else {})
    commit(manifest.failure(name), sealed(told))

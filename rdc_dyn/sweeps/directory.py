"""What a sweep writes besides its runs: a manifest, records of failed points, and a lock that admits one writer."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rdc_dyn.status import DataError, UserError
from rdc_dyn.store.lock import LOCK, Lock
from rdc_dyn.store.provenance import commit, program_version
from rdc_dyn.store.run_directory import checkpoints
from rdc_dyn.store.sweep_directory import FAILED, FORMAT, MANIFEST, PACKED, RUNS, Manifest, read_manifest, read_point
from rdc_dyn.sweeps.points import Point


def program() -> str:
    """Version and commit of this program, as the manifest records them."""
    return f"rdc_dyn {program_version()} {commit()}"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a sweep directory, created if missing; the kernel releases it however the process dies.

    Raises UserError if another sweep holds the lock or the directory is not that of a sweep, and DataError if it cannot
    be created.
    """
    try:
        if path.exists() and not (path / MANIFEST).exists() and (not path.is_dir() or _foreign(path)):
            raise UserError(f"{path}: already exists and is no sweep directory; name another one with -o")
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{path}: cannot write the sweep directory ({error.strerror or error})") from None
    lock = Lock.take(path, "another sweep")
    try:
        yield
    finally:
        lock.release()


def _foreign(path: Path) -> bool:
    return any(entry.name != LOCK for entry in path.iterdir())


def write_atomically(path: Path, content: Any) -> None:
    """Write JSON to a temporary file, flush it to disk, and then rename it; raises DataError if that fails."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror or error})") from None


#: Before the digest of modules that were passed, behind the scenario of a sweep.
NETWORKS = "# networks: "


def join_manifest(path: Path, scenario: str, keys: Sequence[str], points: Sequence[Point]) -> Manifest:
    """Add points to the manifest of a locked directory, or create it, and return it as it is now on disk.

    Raises UserError if the directory holds runs of another program version, of other keys, or of another scenario at
    the same values, and DataError if its manifest is damaged or cannot be written.
    """
    found = read_manifest(path) if (path / MANIFEST).exists() else None
    if found is not None and all(read_point(found, name).state == "missing" for name in found.points):
        for name in found.points.keys() - {point.name for point in points}:
            shutil.rmtree(found.run(name), ignore_errors=True)
        found = None  # nothing has been run, so another sweep may take the directory
    kept: Mapping[str, Mapping[str, Any]] = {} if found is None else found.points
    if found is not None:
        _check(found, keys, points)
        if found.scenario.partition(NETWORKS)[2] != scenario.partition(NETWORKS)[2]:
            raise UserError(f"{path}: its runs have other networks; pass those, or name another directory with -o")
    manifest = Manifest(path, program(), scenario, tuple(keys), {**kept, **{p.name: p.values for p in points}})
    write_atomically(
        path / MANIFEST,
        {
            "format": FORMAT,
            "program": manifest.program,
            "scenario": scenario,
            "keys": list(keys),
            "points": [{"name": name, "values": dict(values)} for name, values in manifest.points.items()],
        },
    )
    return manifest


def _check(found: Manifest, keys: Sequence[str], points: Sequence[Point]) -> None:
    """Raise UserError, naming the difference, if the points do not belong to the sweep that was found."""
    if found.program != program():
        raise UserError(
            f"{found.path}: its runs are by {found.program}, this is {program()}; versions are not mixed in a sweep, "
            "name another directory with -o"
        )
    if set(found.keys) != set(keys):
        raise UserError(
            f"{found.path}: sweeps {', '.join(found.keys)}, not {', '.join(keys)}; name another directory with -o"
        )
    there = {json.dumps(values, sort_keys=True): name for name, values in found.points.items()}
    for point in points:
        other = there.get(json.dumps(point.values, sort_keys=True), point.name)
        if other != point.name:
            values = ", ".join(f"{key}={json.dumps(value)}" for key, value in point.values.items())
            raise UserError(
                f"{found.path}: has a run with {values} of another scenario (see {found.run(other)}/scenario.yaml); "
                "name another directory with -o"
            )


def clear(manifest: Manifest, name: str) -> None:
    """Remove what an earlier attempt left of a point, except its run directory, from which the run may resume."""
    try:
        manifest.failure(name).unlink(missing_ok=True)
        (manifest.path / PACKED / name).unlink(missing_ok=True)
        (manifest.path / RUNS).mkdir(exist_ok=True)
    except OSError as error:
        raise DataError(f"{manifest.run(name)}: cannot be removed ({error.strerror or error})") from None


def discard_unfinished(manifest: Manifest, names: Sequence[str]) -> None:
    """Remove the folders of runs that were cut off before their first checkpoint; the others can resume."""
    for name in names:
        if read_point(manifest, name).state == "missing" and not checkpoints(manifest.run(name)):
            shutil.rmtree(manifest.run(name), ignore_errors=True)
            with suppress(OSError):
                (manifest.path / PACKED / name).unlink(missing_ok=True)


def write_failure(manifest: Manifest, name: str, exit_code: int, message: str, traceback: str) -> None:
    """Record a point that left no trajectory; `traceback` is empty unless the exception was unexpected."""
    content = {"name": name, "values": dict(manifest.points[name]), "exit_code": exit_code, "message": message}
    target = manifest.path / FAILED / f"{name}.json"
    write_atomically(target, content | ({"traceback": traceback} if traceback else {}))

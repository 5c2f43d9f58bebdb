"""Check the files of a run directory: digests, the chain of the log, and whether all say the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import xarray as xr

from rdc_dyn.read.verify.finding import Finding
from rdc_dyn.status import DataError, Status
from rdc_dyn.store.checkpoint import load_checkpoint
from rdc_dyn.store.commit import sha256
from rdc_dyn.store.dataset import to_dataset
from rdc_dyn.store.disk import below
from rdc_dyn.store.lock import held
from rdc_dyn.store.log import LOG, Logged, read_log
from rdc_dyn.store.run_directory import DIGESTS, SCENARIO, TRAJECTORY, checkpoints, expected, read_digests, read_text


def files(run: Path, trajectory: xr.Dataset | None) -> Iterator[Finding]:
    """Check the files of a run; `trajectory` is None if it cannot be opened."""
    going_on = held(run)
    if going_on:
        yield Finding("run", "open", "it goes on; what it has committed is checked")
    kept = checkpoints(run)  # before the log, which may grow
    logged = _log(run)
    if isinstance(logged, Finding):
        yield logged
    else:
        yield Finding.of(LOG, logged.damage, f"{len(logged.records)} points, an unbroken chain of digests")
    yield _digests(run, logged, going_on)
    for file in kept:
        if not going_on or file.exists():  # a run removes all but the last ones
            yield Finding.of(f"checkpoint {file.stem}", _checkpoint(run, file), "its digest, its shapes and its log")
    if trajectory is None:
        return
    yield Finding.of("scenario", _scenario(run, trajectory), "the trajectory carries it, with its digest")
    if not isinstance(logged, Finding) and trajectory.attrs["status"] in Status.__members__:
        yield Finding.of("trajectory and log", _differs(trajectory, logged), "the same numbers")


def _log(run: Path) -> Logged | Finding:
    try:
        return read_log(run)
    except DataError as error:
        return Finding.of(LOG, str(error), "")


def _digests(run: Path, logged: Logged | Finding, going_on: bool) -> Finding:
    ended = (run / TRAJECTORY).exists() or (
        isinstance(logged, Logged) and any(event["event"] == "end" for event in logged.events)
    )
    try:
        listed = read_digests(run)
        if not listed and (going_on or not ended):
            return Finding(DIGESTS, "open", "the run has not ended, so there is none yet")
        names = [str(file.relative_to(run)) for file in expected(run)]
    except DataError as error:
        return Finding.of(DIGESTS, str(error), "")
    if not listed:
        return Finding.of(DIGESTS, "missing, though the run has ended; if it was killed then, use rdc-dyn resume", "")
    missing = [name for name in names if name not in listed]
    wrong = [name for name, digest in listed.items() if not _is(run, name, digest)]
    told = [f"lacks {', '.join(missing)}"] * bool(missing)
    told += [f"other bytes than when they were written: {', '.join(wrong)}"] * bool(wrong)
    return Finding.of(DIGESTS, "; ".join(told), f"{len(listed)} files")


def _is(run: Path, name: str, digest: str) -> bool:
    try:
        return sha256(below(run, *name.split("/"))) == digest
    except (OSError, DataError):
        return False


def _checkpoint(run: Path, file: Path) -> str:
    try:
        mark = load_checkpoint(file).log
        logged = read_log(run, mark.length)
    except DataError as error:
        return str(error)
    return "" if logged.mark == mark else logged.damage or f"it belongs to another {LOG}, or to a longer one"


def _differs(trajectory: xr.Dataset, logged: Logged) -> str:
    """How the trajectory differs from the log, empty if it does not."""
    again = to_dataset(logged.records, {})
    if again.sizes["time"] != trajectory.sizes["time"]:
        return f"the log has {again.sizes['time']} points, the trajectory {trajectory.sizes['time']}"
    for name in {*again.variables, *trajectory.variables}:
        one, other = (part[name].values if name in part.variables else np.array([]) for part in (trajectory, again))
        if one.dtype.kind == "f" and not np.array_equal(one, other, equal_nan=True):
            return f"{name} differs"
    return ""


def _scenario(run: Path, trajectory: xr.Dataset) -> str:
    text = str(trajectory.attrs["scenario"])
    if hashlib.sha256(text.encode()).hexdigest() != trajectory.attrs.get("scenario_sha256"):
        return "the trajectory's attributes scenario and scenario_sha256 do not belong together"
    try:
        same = read_text(run, SCENARIO) == text
    except DataError as error:
        return str(error)
    return "" if same else f"{SCENARIO} is not the scenario that the trajectory carries"

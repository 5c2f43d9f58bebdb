"""Reading a run directory: `trajectory.nc` if the run has ended, else what it has logged."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

import xarray as xr

from rdc_dyn.status import DataError, Status
from rdc_dyn.store.commit import commit, sha256
from rdc_dyn.store.dataset import require_trajectory, to_dataset
from rdc_dyn.store.lock import LOCK
from rdc_dyn.store.log import EVENTS, read_log, to_text
from rdc_dyn.store.netcdf import read_netcdf
from rdc_dyn.store.segments import SEGMENTS

TRAJECTORY, SCENARIO, CHECKPOINTS, DIGESTS = "trajectory.nc", "scenario.yaml", "checkpoints", "SHA256SUMS"
_NAMED = re.compile(r"[0-9]{6,}\.safetensors")


def vacant(path: Path) -> bool:
    """Whether a run may begin here: nothing exists, or only the remains of a run that died before it wrote anything."""

    def nothing(entry: Path) -> bool:
        if entry.is_dir() and not entry.is_symlink():
            return entry.name in (CHECKPOINTS, SEGMENTS) and not any(entry.iterdir())
        return entry.name == LOCK or entry.name.startswith(f".{SCENARIO}.tmp-")

    return not path.exists() or (path.is_dir() and all(nothing(entry) for entry in path.iterdir()))


def open_run(path: str | os.PathLike[str]) -> xr.Dataset:
    """Open the trajectory of a run, finished or not.

    Args:
        path: A run directory, or its `trajectory.nc`.

    Returns:
        The trajectory, in memory. If the run is still going on or was killed, it holds what was committed so far, and
        its attribute `status` is RUNNING.

    Raises:
        DataError: If there is nothing to open, or it is damaged.
    """
    path = Path(path)
    file = path if path.is_file() else path / TRAJECTORY
    if file.is_file():
        digest = read_digests(path).get(TRAJECTORY) if file.parent == path else None
        if digest is not None and digest != sha256(file):
            raise DataError(f"{file}: damaged, its digest is not the one in {DIGESTS}; see rdc-dyn verify")
        trajectory = read_netcdf(file)
        require_trajectory(trajectory, file)
        _require_ended(trajectory, file)
        trajectory.encoding["source"] = str(file)
        return trajectory
    records, events, attributes = read_log(path)
    if "scenario" not in attributes:
        raise DataError(f"{path}: the run was stopped before it began; there is nothing to open")
    unfinished = {"status": "RUNNING", "status_message": "the run is going on or was killed; this is what it committed"}
    trajectory = to_dataset(records, {**attributes, **unfinished, EVENTS: to_text(events)})
    trajectory.encoding["source"] = str(path)
    return trajectory


def _require_ended(dataset: xr.Dataset, file: Path) -> None:
    """Raise DataError if a trajectory read from `file` does not say how its run ended."""
    if dataset.attrs.get("status") not in Status.__members__ or not isinstance(
        dataset.attrs.get("status_message"), str
    ):
        raise DataError(f"{file}: not a trajectory of this program, its attribute status is none that a run ends with")


def checkpoints(path: Path) -> list[Path]:
    """Checkpoints of a run directory, newest first."""
    found = [file for file in (path / CHECKPOINTS).glob("*.safetensors") if _NAMED.fullmatch(file.name)]
    return sorted(found, key=lambda file: int(file.stem), reverse=True)


def last_checkpoint(path: Path) -> Path:
    """The newest checkpoint of a run directory; DataError if there is none."""
    found = checkpoints(path)
    if not found:
        raise DataError(f"{path}: no checkpoint there; expected a run directory with {CHECKPOINTS}/")
    return found[0]


def read_digests(path: Path) -> dict[str, str]:
    """SHA-256 by file name from `SHA256SUMS`, empty if the run has not ended; DataError if the list is damaged."""
    try:
        text = (path / DIGESTS).read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path / DIGESTS}: cannot be read ({error})") from None
    found = dict[str, str]()
    for number, line in enumerate(text.splitlines(), 1):
        match = re.fullmatch(r"([0-9a-f]{64})  ([A-Za-z0-9_./]+)", line)
        if match is None:
            raise DataError(f"{path / DIGESTS}:{number}: damaged, expected a digest, two spaces and a name")
        found[match[2]] = match[1]
    return found


def write_digests(path: Path, without: Sequence[Path] = ()) -> None:
    """Write `SHA256SUMS`, in the format of `sha256sum -c`, leaving out the files in `without`."""
    files = [path / SCENARIO, path / TRAJECTORY]
    files += [file for folder in (SEGMENTS, CHECKPOINTS) for file in sorted((path / folder).glob("[0-9]*"))]
    kept = [file for file in files if file not in without]
    text = "".join(f"{sha256(file)}  {file.relative_to(path)}\n" for file in kept)
    commit(path / DIGESTS, lambda file: file.write_bytes(text.encode()))

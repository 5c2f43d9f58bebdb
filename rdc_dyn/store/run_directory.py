"""Reading a run directory: `trajectory.nc` if the run has ended, else what it has logged."""

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from rdc_dyn.status import DataError, Status, UserError
from rdc_dyn.store import disk
from rdc_dyn.store.commit import commit, sha256
from rdc_dyn.store.dataset import CONVENTIONS, assembled, read_columns, to_columns, wrong_attributes
from rdc_dyn.store.disk import below, reported
from rdc_dyn.store.lock import LOCK
from rdc_dyn.store.log import LOG, Logged, read_log, to_text

TRAJECTORY, SCENARIO, CHECKPOINTS, DIGESTS = "trajectory.nc", "scenario.yaml", "checkpoints", "SHA256SUMS"
#: Attribute of a trajectory that holds its events.
EVENTS = "events"
_CHECKPOINT = re.compile(r"[0-9]{6,}\.safetensors")
#: What `SHA256SUMS` may list; the names that it must list are `expected`.
_LISTED = re.compile(
    rf"([0-9a-f]{{64}})  (scenario\.yaml|log\.jsonl|trajectory\.nc|{CHECKPOINTS}/{_CHECKPOINT.pattern})"
)
#: Sizes in bytes of the largest files that are read.
_TRAJECTORY_SIZE, _TEXT_SIZE = 4 << 30, 16 << 20


class NotBegunError(DataError):
    """A run has written nothing yet, or died before it did."""


def require_vacant(path: Path) -> None:
    """Raise UserError if a run may not begin here: more exists than what is left of one that died before it began."""

    def nothing(entry: Path) -> bool:
        if entry.is_dir() and not entry.is_symlink():
            return entry.name == CHECKPOINTS and not any(entry.iterdir())
        return entry.name == LOCK or entry.name.startswith(f".{SCENARIO}.tmp-")

    if path.exists() and not (path.is_dir() and all(nothing(entry) for entry in path.iterdir())):
        raise UserError(f"{path}: already exists and is not empty; name another run directory with -o")


def open_run(path: str | os.PathLike[str]) -> xr.Dataset:
    """Open the trajectory of a run, finished or not.

    Args:
        path: A run directory, or its `trajectory.nc`.

    Returns:
        The trajectory, in memory. If the run is still going on or was killed, it holds what was committed so far, and
        its attribute `status` is RUNNING. If the log of such a run is damaged, it holds what stands before the damage,
        and its `status` is DAMAGED.

    Raises:
        DataError: If there is nothing to open, or it is damaged.
    """
    path = Path(path)
    if (path / "sweep.json").is_file():
        raise DataError(f"{path}: is a sweep; rdc_dyn.open_sweep opens all of its runs, open_run one of {path}/runs")
    if not path.is_file() and not _finished(path):
        return _unfinished(path)
    file = path if path.is_file() else path / TRAJECTORY
    try:
        content = _content(file, follow=True) if path.is_file() else read_trajectory_file(path)[0]
    except FileNotFoundError:
        raise DataError(f"{file}: not a readable trajectory (no file there)") from None
    columns, attributes, _ = read_columns(content, file)
    if attributes.get("status") not in Status.__members__ or not isinstance(attributes.get("status_message"), str):
        raise DataError(f"{file}: not a trajectory of this program, its attribute status is none that a run ends with")
    trajectory = assembled(columns, attributes)
    trajectory.encoding["source"] = str(file)
    return trajectory


def _finished(run: Path) -> bool:
    """Whether `trajectory.nc` is what counts: digests are written last; a copied file may come without its log."""
    return (run / TRAJECTORY).exists() and ((run / DIGESTS).exists() or not (run / LOG).exists())


def _unfinished(run: Path) -> xr.Dataset:
    logged = read_log(run)
    if "scenario" not in logged.attributes:
        if logged.damage:
            raise DataError(f"{logged.damage}; there is nothing to open")
        raise NotBegunError(f"{run}: the run was stopped before it began; there is nothing to open")
    trajectory = logged_trajectory(logged)
    if wrong := wrong_attributes(trajectory.attrs):
        raise DataError(f"{run / LOG}: not the log of a trajectory, {wrong}")
    trajectory.encoding["source"] = str(run)
    return trajectory


def logged_trajectory(logged: Logged) -> xr.Dataset:
    """The trajectory that a log describes."""
    return assembled(to_columns(logged.records), trajectory_attributes(logged))


def trajectory_attributes(logged: Logged) -> dict[str, Any]:
    """The attributes of the trajectory that a log describes, with how the run ended."""
    if logged.damage:
        status = {"status": "DAMAGED", "status_message": f"{logged.damage}; this is what stands before it"}
    elif logged.ended:
        end = {key: value for key, value in logged.events[-1].items() if key not in ("event", "time")}
        status = {"status": end.pop("status"), "status_message": end.pop("text"), "status_detail": end.pop("detail")}
        status |= end  # where it stopped
    else:
        text = "the run is going on or was killed; this is what it committed"
        status = {"status": "RUNNING", "status_message": text}
    return {"Conventions": CONVENTIONS, **logged.attributes, **status, EVENTS: to_text(logged.events)}


def _content(file: Path, *, follow: bool = False) -> bytes:
    try:
        return disk.read(file, _TRAJECTORY_SIZE, follow=follow)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise DataError(f"{file}: not a readable trajectory ({error.strerror or error})") from None


def read_trajectory_file(run: Path) -> tuple[bytes, str]:
    """Content and SHA-256 of the `trajectory.nc` of a run directory.

    Raises FileNotFoundError if there is none, and DataError if its digest is not the one that was written down.
    """
    content = _content(below(run, TRAJECTORY))
    digest = hashlib.sha256(content).hexdigest()
    if (run / DIGESTS).exists() and read_digests(run).get(TRAJECTORY) != digest:
        raise DataError(f"{run / TRAJECTORY}: damaged, its digest is not the one in {DIGESTS}; see rdc-dyn verify")
    return content, digest


def read_text(run: Path, name: str) -> str:
    """Read a text file of a run directory; DataError if that cannot be."""
    with reported(run / name, "cannot be read"):
        try:
            return disk.read(below(run, name), _TEXT_SIZE).decode()
        except UnicodeDecodeError as error:
            raise OSError(str(error)) from None


def checkpoints(path: Path) -> list[Path]:
    """Checkpoints of a run directory, newest first."""
    found = [file for file in below(path, CHECKPOINTS).glob("*.safetensors") if _CHECKPOINT.fullmatch(file.name)]
    return sorted(found, key=lambda file: int(file.stem), reverse=True)


def last_checkpoint(path: Path) -> Path:
    """The newest checkpoint of a run directory; DataError if there is none."""
    found = checkpoints(path)
    if not found:
        raise DataError(f"{path}: no checkpoint there; expected a run directory with {CHECKPOINTS}/")
    return found[0]


def expected(path: Path, without: Sequence[Path] = ()) -> list[Path]:
    """The files of a run that has ended, which `SHA256SUMS` lists, but for those in `without`."""
    files = [path / SCENARIO, path / LOG, path / TRAJECTORY, *reversed(checkpoints(path))]
    return [file for file in files if file not in without]


def read_digests(path: Path) -> dict[str, str]:
    """SHA-256 by file name from `SHA256SUMS`, empty if there is none; DataError if the list is damaged."""
    if not (path / DIGESTS).exists() and not (path / DIGESTS).is_symlink():
        return {}
    found = dict[str, str]()
    for number, line in enumerate(read_text(path, DIGESTS).splitlines(), 1):
        match = _LISTED.fullmatch(line)
        if match is None:
            raise DataError(f"{path / DIGESTS}:{number}: damaged, expected a digest, two spaces and a name")
        found[match[2]] = match[1]
    return found


def write_digests(path: Path, without: Sequence[Path] = ()) -> None:
    """Write `SHA256SUMS`, in the format of `sha256sum -c`, leaving out the files in `without`."""
    with reported(path):
        lines = [f"{sha256(file)}  {file.relative_to(path)}\n" for file in expected(path, without)]
    commit(path / DIGESTS, "".join(lines).encode())

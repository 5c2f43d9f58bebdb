"""A run directory: `scenario.yaml`, `log.jsonl`, `checkpoints/` and, at the end, `trajectory.nc`."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import xarray as xr

from rdc_dyn.output.dataset import to_dataset
from rdc_dyn.output.events import EVENTS, as_mappings, to_text
from rdc_dyn.output.plain import encode
from rdc_dyn.output.record import Event, Record
from rdc_dyn.status import DataError, UserError

TRAJECTORY, LOG, SCENARIO, CHECKPOINTS = "trajectory.nc", "log.jsonl", "scenario.yaml", "checkpoints"


def _decode(value: Any) -> float:
    return math.nan if value is None else float(value)


@dataclass
class RunWriter:
    """Writes a run directory while the run goes on; every line is on disk before the next step begins.

    Attributes:
        path: The directory.
        log: The open log file.
    """

    path: Path
    log: IO[str]

    @classmethod
    def create(cls, path: Path, scenario: str) -> RunWriter:
        """Make the directory and write the resolved scenario into it.

        Args:
            path: Directory that does not exist yet, or is empty.
            scenario: YAML text.

        Returns:
            The writer.

        Raises:
            UserError: If the directory already holds something (exit code 2).
            DataError: If it cannot be made (exit code 4).
        """
        try:
            if path.exists() and (not path.is_dir() or any(path.iterdir())):
                raise UserError(f"{path}: already exists and is not empty; name another run directory with -o")
            (path / CHECKPOINTS).mkdir(parents=True, exist_ok=True)
            (path / SCENARIO).write_text(scenario, encoding="utf-8")
            return cls(path, open(path / LOG, "x", encoding="utf-8"))  # closed by close()
        except OSError as error:
            raise DataError(f"{path}: cannot write the run directory ({error.strerror or error})") from None

    def record(self, record: Record) -> None:
        """Append a recorded point to the log."""
        self._line({"event": "record", "time": record.time, **record.values, "response": record.response})

    def event(self, event: Event) -> None:
        """Append an event to the log."""
        self._line(*as_mappings([event]))

    def begin(self, attributes: Mapping[str, Any]) -> None:
        """Append the attributes of the trajectory, so that an unfinished run has them too."""
        self._line({"event": "attributes", "attributes": dict(attributes)})

    def _line(self, content: Mapping[str, Any]) -> None:
        line = json.dumps(encode(content), allow_nan=False) + "\n"
        try:
            self.log.write(line)
            self.log.flush()
            os.fsync(self.log.fileno())
        except OSError as error:
            raise DataError(f"{self.path / LOG}: cannot write ({error.strerror or error})") from None

    def checkpoint_path(self, index: int) -> Path:
        """Where the checkpoint of the record with this index goes."""
        return self.path / CHECKPOINTS / f"{index:06d}.safetensors"

    def finish(self, trajectory: xr.Dataset) -> None:
        """Close the log and write `trajectory.nc`, under a temporary name until it is whole."""
        self.close()
        write_netcdf(trajectory, self.path / TRAJECTORY)

    def discard(self) -> None:
        """Remove what `create` made, for a run that turned out to be a mistake before its first record."""
        self.close()
        with suppress(OSError):
            for file in (self.path / LOG, self.path / SCENARIO):
                file.unlink(missing_ok=True)
            for folder in (self.path / CHECKPOINTS, self.path):
                folder.rmdir()

    def close(self) -> None:
        """Close the log; a line that could not be written has been reported already."""
        with suppress(OSError):
            self.log.close()


def write_netcdf(dataset: xr.Dataset, path: Path) -> None:
    """Write a dataset with checksums, read it back, and only then give it its name.

    Args:
        dataset: What to write.
        path: Final name.

    Raises:
        DataError: If the file cannot be written or does not read back as it was written.
    """
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    encoding = {
        str(name): {"zlib": True, "complevel": 4, "fletcher32": True}
        for name, variable in dataset.variables.items()
        if variable.dtype.kind == "f" and variable.size
    }
    try:
        dataset.to_netcdf(temporary, engine="netcdf4", format="NETCDF4", encoding=encoding)
        with xr.open_dataset(temporary, engine="netcdf4") as written:
            if not written.load().identical(dataset):
                raise DataError(f"{path}: what was written differs from the trajectory")
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:
        raise DataError(f"{path}: cannot write the trajectory ({error})") from None
    finally:
        temporary.unlink(missing_ok=True)


def read_log(path: Path) -> tuple[list[Record], list[dict[str, Any]], dict[str, Any]]:
    """Read what a run has committed.

    Args:
        path: A run directory.

    Returns:
        The records, the other events, and the attributes of the trajectory. A line that was being written when the run
        was killed is left out.

    Raises:
        DataError: If there is no log, or a line other than the last is damaged.
    """
    try:
        lines = (path / LOG).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a run directory, no readable {LOG} ({error})") from None
    records: list[Record] = []
    events: list[dict[str, Any]] = []
    attributes: dict[str, Any] = {}
    for number, line in enumerate(lines, 1):
        try:
            content = json.loads(line)
            kind = content.pop("event")
            if kind == "attributes":
                attributes = content["attributes"]
            elif kind == "record":
                time, response = float(content.pop("time")), content.pop("response")
                matrix = tuple(tuple(_decode(v) for v in row) for row in response)
                records.append(Record(time, {k: _decode(v) for k, v in content.items()}, matrix))
            else:
                events.append({"event": kind, **content})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if number == len(lines):
                break
            raise DataError(f"{path / LOG}:{number}: damaged line ({error})") from None
    return records, events, attributes


def open_run(path: str | os.PathLike[str]) -> xr.Dataset:
    """Open the trajectory of a run, finished or not.

    Args:
        path: A run directory, or its `trajectory.nc`.

    Returns:
        The trajectory, in memory. Of a run that is still going on, or was killed, what it has committed; its attribute
        `status` is then RUNNING.

    Raises:
        DataError: If there is nothing to open or it is damaged.
    """
    path = Path(path)
    file = path if path.is_file() else path / TRAJECTORY
    if file.is_file():
        try:
            with xr.open_dataset(file, engine="netcdf4") as dataset:
                trajectory = dataset.load()
        except (OSError, RuntimeError, ValueError) as error:
            raise DataError(f"{file}: not a readable trajectory ({error})") from None
        if "response" not in trajectory or "scenario" not in trajectory.attrs:
            raise DataError(f"{file}: not a trajectory of this program")
        trajectory.encoding["source"] = str(file)
        return trajectory
    records, events, attributes = read_log(path)
    if "scenario" not in attributes:
        raise DataError(f"{path}: the run was stopped before it began; there is nothing to open")
    unfinished = {"status": "RUNNING", "status_message": "the run is going on or was killed; this is what it committed"}
    trajectory = to_dataset(records, {**attributes, **unfinished, EVENTS: to_text(events)})
    trajectory.encoding["source"] = str(path)
    return trajectory


def last_checkpoint(path: Path) -> Path:
    """The newest checkpoint of a run.

    Args:
        path: A run directory.

    Returns:
        Its path.

    Raises:
        DataError: If there is none.
    """
    found: Sequence[Path] = sorted((path / CHECKPOINTS).glob("*.safetensors"))
    if not found:
        raise DataError(f"{path}: no checkpoint there; expected a run directory with {CHECKPOINTS}/")
    return found[-1]

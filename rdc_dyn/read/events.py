"""What happened between the points of a run, as a table.

A trajectory carries its events in its attribute `events`, one line of JSON each: a `trajectory.nc` copied away from its
log keeps them, a run in memory has them too, and selecting points does not drop them. As variables on a dimension of
their own they would clutter every printout, merge and concatenation of the trajectory.
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from rdc_dyn.record import JUMPS
from rdc_dyn.status import DataError
from rdc_dyn.store.log import LOG, read_log
from rdc_dyn.store.run_directory import EVENTS, open_run

#: Columns of every table, in this order; those of particular events stand before the sentences.
_WORDS = ("kind", "status")
_NUMBERS = ("step_size", "halved_to")
_SENTENCES = ("detail", "text")
_ATTRS = {
    "time": {"long_name": "process clock", "units": "1"},
    "kind": {
        "long_name": "start, collapsed, aimed, rejected, equilibrated, relaxed, follow, turned, fold, warning or end"
    },
    "status": {"long_name": "name of the status, where a step was rejected or the run ended"},
    "step_size": {"long_name": "length of the step that failed", "units": "1"},
    "halved_to": {"long_name": "length that is tried next, unless the branch is left or the path stops", "units": "1"},
}


def events(run: xr.Dataset | str | os.PathLike[str]) -> xr.Dataset:
    """Table of the events of a run: rejected steps, halvings, jumps, folds, warnings and the end.

    The run is a trajectory, a run directory or a `trajectory.nc`. The columns, along `event`, are kind, time, status,
    step_size, halved_to, whatever else belongs to some of the events (such as `jump_theta`), detail and text; missing
    numbers are NaN, missing words empty. `events(run).to_dataframe()` prints the table. Raises DataError if a
    trajectory carries no events.
    """
    if isinstance(run, xr.Dataset):
        if EVENTS not in run.attrs:
            raise DataError("events: the trajectory has no attribute events; expected one that rdc_dyn ran or opened")
        return _table([_read(line) for line in run.attrs[EVENTS].splitlines()])
    path = Path(run)
    return _table(read_log(path).events) if (path / LOG).is_file() else events(open_run(path))


def _read(line: str) -> dict[str, Any]:
    try:
        content = json.loads(line)
        return {"event": content.pop("event"), "time": content.pop("time"), "text": content.pop("text"), **content}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"events: the attribute events of the trajectory is damaged ({error})") from None


def _table(lines: Sequence[Mapping[str, Any]]) -> xr.Dataset:
    """One column per key, numeric if all its values are numbers."""
    rows = [{"kind": line["event"], **{k: v for k, v in line.items() if k != "event"}} for line in lines]
    others = sorted({key for row in rows for key in row} - {"time", *_WORDS, *_NUMBERS, *_SENTENCES, *JUMPS})
    jumps = [name for name in JUMPS if any(name in row for row in rows)]
    columns = {}
    for name in ("time", *_WORDS, *_NUMBERS, *jumps, *others, *_SENTENCES):
        values = [row.get(name) for row in rows]
        numeric = name in ("time", *_NUMBERS, *JUMPS) or (
            name not in (*_WORDS, *_SENTENCES) and all(_is_number(value) for value in values)
        )
        columns[name] = xr.Variable(
            "event",
            np.array([_number(v) for v in values], dtype=np.float64) if numeric else _words(values),
            _ATTRS.get(name, {}),
        )
    return xr.Dataset(columns)


def _is_number(value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value is None or number or value in ("inf", "-inf")


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)


def _words(values: Sequence[Any]) -> np.ndarray:
    out = np.empty(len(values), dtype=object)
    out[:] = ["" if v is None else v if isinstance(v, str) else json.dumps(v) for v in values]
    return out

"""A sweep directory: `sweep.json`, `runs/NAME/` and `failed/NAME.json`; swept keys as coordinates."""

from __future__ import annotations

import hashlib
import json
import keyword
import math
import os
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from rdc_dyn.status import RESUMABLE, DataError, Status, UserError
from rdc_dyn.store import disk
from rdc_dyn.store.commit import one_line
from rdc_dyn.store.disk import below, reported

if TYPE_CHECKING:
    import numpy as np

    from rdc_dyn.store.lazy_run import LazyRun


#: In place of a value: the scenario of this run lacks the key.
LACKING: Final = object()
#: Keys that name what a section is.
_TAGS = ("method", "kind", "name")


def coordinate_names(keys: Iterable[str], taken: Container[str] = ()) -> dict[str, str]:
    """The name of the coordinate of each key: `integrator_method` for the key `integrator.method`.

    A name that is taken or reserved has `scenario_` before it, such as `scenario_response`. Raises UserError if two
    keys have the same name.
    """
    keys_of: dict[str, str] = {}
    for key in keys:
        name = re.sub(r"\W", "_", key)
        if name in taken or not name.isidentifier() or keyword.iskeyword(name):
            name = f"scenario_{name}"
        if name in keys_of:
            raise UserError(f"the keys {keys_of[name]} and {key} would both be the dimension {name}; vary one of them")
        keys_of[name] = key
    return {key: name for name, key in keys_of.items()}


def coordinate(values: Sequence[Any]) -> np.ndarray:
    """One entry for each value: numbers if all values are, else words; `LACKING` becomes NaN or an empty word."""
    import numpy as np

    given = [value for value in values if value is not LACKING]
    if given and all(map(_is_number, given)):
        return np.array([math.nan if value is LACKING else value for value in values])
    named = labels(list({text_of(value): value for value in given}.values()))
    return np.array(["" if value is LACKING else named[text_of(value)] for value in values], dtype=str)


def _is_number(value: Any) -> bool:
    """Whether a value is a finite float or a 64-bit integer."""
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def labels(values: Sequence[Any]) -> dict[str, str]:
    """Short labels for distinct values by their JSON, no two alike: of sections, what tells them apart."""
    texts = [text_of(value) for value in values]
    sections = [value for value in values if isinstance(value, dict)]
    choices = [[str(section[tag]) for section in sections if tag in section] for tag in _TAGS]
    choices.append([_label(value, sections) for value in values])
    distinct = (found for found in choices if len(set(found)) == len(values) and all(found))
    return dict(zip(texts, next(distinct, texts)))


def _label(value: Any, sections: list[dict[str, Any]]) -> str:
    if not isinstance(value, dict):
        return value if isinstance(value, str) else text_of(value)
    differing = {k: v for k, v in value.items() if any(text_of(v) != text_of(s.get(k, v)) for s in sections)}
    tags = [str(value[tag]) for tag in _TAGS if tag in value]
    rest = [f"{k}: {text_of(v)}" for k, v in differing.items() if k not in _TAGS]
    return ", ".join([*tags[:1], *rest]) or text_of(value)


def text_of(value: Any) -> str:
    """The JSON of a value, by which values are told apart."""
    return json.dumps(value, sort_keys=True)


MANIFEST, RUNS, FAILED = "sweep.json", "runs", "failed"
FORMAT = "rdc_dyn sweep 2"
#: Sizes in bytes of the largest manifest, and of the largest record of a failure, that are read.
_MOST, _MOST_FAILED = 1 << 30, 16 << 20
_NAME = re.compile("[0-9a-f]{12}")
#: Before the digest with which both kinds of file end.
_SEAL = b',\n "sha256": "'

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
            content = unsealed(disk.read(path / MANIFEST, _MOST))
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
    except FileNotFoundError:
        return SweptRun(name, values, "missing", "MISSING", "not run yet", None)
    except (OSError, DataError, ValueError, KeyError, TypeError) as error:
        told = f"the record of its failure is damaged ({one_line(error)})"
        return SweptRun(name, values, "missing", "MISSING", told, None)
    return SweptRun(name, values, "failed", "FAILED", message, None)


def read_failure(file: Path) -> Any:
    """The record of a failed point, JSON; raises OSError or ValueError if it cannot be read."""
    return unsealed(disk.read(file, _MOST_FAILED))


def sealed(content: Mapping[str, Any]) -> bytes:
    """An object as JSON whose last entry is the SHA-256 of the rest."""
    text = json.dumps(content, indent=1).encode()
    return text[:-2] + _SEAL + _digest(text)


def unsealed(file: bytes) -> Any:
    """The content of a sealed file; ValueError if any byte of it has changed."""
    text, _, digest = file.rpartition(_SEAL)
    text += b"\n}"
    if digest != _digest(text):
        raise ValueError("it does not end with the digest of the rest")
    return json.loads(text)


def _digest(text: bytes) -> bytes:
    """The end of a sealed file."""
    return hashlib.sha256(text).hexdigest().encode() + b'"\n}'


def value_list(points: tuple[SweptRun, ...], key: str) -> list[Any]:
    """Distinct values of a swept key in the order of the points, of which some may lack the key."""
    return list({text_of(p.values[key]): p.values[key] for p in points if key in p.values}.values())

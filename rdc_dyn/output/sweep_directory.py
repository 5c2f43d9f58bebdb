"""A sweep directory: `sweep.json`, `runs/NAME/`, `failed/NAME.json`, and packed copies that are quick to read."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rdc_dyn.status import DataError, Status

if TYPE_CHECKING:
    from rdc_dyn.output.packed import Packed

MANIFEST, RUNS, FAILED, PACKED = "sweep.json", "runs", "failed", "packed"
FORMAT = "rdc_dyn sweep 1"
#: Statuses that say nothing about the scenario: such runs are repeated.
UNFINISHED = frozenset({Status.INTERRUPTED.name, Status.TIME_LIMIT.name})


State = Literal["done", "failed", "missing"]


@dataclass(frozen=True)
class Manifest:
    """What a sweep is made of.

    Attributes:
        path: The sweep directory.
        program: Version and commit of the program that made the sweep.
        scenario: The swept scenario, as YAML.
        points: Values of the swept keys by name of the run, without keys that its scenario does not have.
    """

    path: Path
    program: str
    scenario: str
    keys: tuple[str, ...]
    points: Mapping[str, Mapping[str, Any]]

    def run(self, name: str) -> Path:
        """The run directory of a point."""
        return self.path / RUNS / name

    def failure(self, name: str) -> Path:
        """The file that says why a point has no trajectory."""
        return self.path / FAILED / f"{name}.json"


@dataclass(frozen=True)
class SweptRun:
    """A point of a sweep, as it is on disk.

    Attributes:
        name: Hash of its resolved scenario.
        values: Its values of the swept keys.
        state: done: it ran to its end; failed: it stopped numerically or left no trajectory; missing: neither.
        status: Name of a `Status`, FAILED without a trajectory, or MISSING.
        message: The sentence that explains the status.
        packed: Its trajectory, if there is one.
    """

    name: str
    values: Mapping[str, Any]
    state: State
    status: str
    message: str
    packed: Packed | None


@dataclass(frozen=True)
class Sweep:
    """A sweep, as it is on disk.

    Attributes:
        path: The sweep directory.
        program: Version and commit of the program that made the sweep.
        scenario: The swept scenario, as YAML.
        points: In the order of the manifest.
    """

    path: Path
    program: str
    scenario: str
    keys: tuple[str, ...]
    points: tuple[SweptRun, ...]


def read_manifest(path: str | os.PathLike[str]) -> Manifest:
    """Read the manifest of a sweep directory; DataError if it is missing or damaged."""
    path = Path(path)
    try:
        content = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise DataError(f"{path / MANIFEST}: of another format, {content['format']!r}; expected {FORMAT!r}")
        points = {str(point["name"]): dict(point["values"]) for point in content["points"]}
        return Manifest(path, content["program"], content["scenario"], tuple(content["keys"]), points)
    except OSError as error:
        message = f"{path}: not a sweep directory, no readable {MANIFEST} ({error.strerror or error})"
        raise DataError(message) from None
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path / MANIFEST}: damaged ({error})") from None


def read_sweep(path: str | os.PathLike[str]) -> Sweep:
    """Read a sweep directory; DataError if it is none. Variables of the trajectories are read on demand."""
    manifest = read_manifest(path)
    points = tuple(read_point(manifest, name) for name in manifest.points)
    return Sweep(manifest.path, manifest.program, manifest.scenario, manifest.keys, points)


def read_point(manifest: Manifest, name: str) -> SweptRun:
    """Read the state of a point from disk; a damaged trajectory counts as missing."""
    values = manifest.points[name]
    try:
        packed = _packed(manifest, name)
    except DataError as error:
        return SweptRun(name, values, "missing", "MISSING", str(error), None)
    if packed is not None:
        status, message = packed.attributes.get("status", "MISSING"), packed.attributes.get("status_message", "")
        detail = packed.attributes.get("status_detail")
        state: State = "done" if status == Status.COMPLETED.name else "missing" if status in UNFINISHED else "failed"
        return SweptRun(name, values, state, status, message + (f" ({detail})" if detail else ""), packed)
    try:
        message = str(json.loads(manifest.failure(name).read_text(encoding="utf-8"))["message"])
    except (OSError, ValueError, KeyError, TypeError):
        return SweptRun(name, values, "missing", "MISSING", "not run yet", None)
    return SweptRun(name, values, "failed", "FAILED", message, None)


def _packed(manifest: Manifest, name: str) -> Packed | None:
    """The packed trajectory of a run, made anew if missing or out of date; None if there is no trajectory."""
    from rdc_dyn.output.packed import pack, read_packed, stamp
    from rdc_dyn.output.run_directory import TRAJECTORY, open_run

    file, target = manifest.run(name) / TRAJECTORY, manifest.path / PACKED / name
    source = stamp(file)
    if source is None:
        return None
    packed = read_packed(target, source)
    if packed is None:
        pack(open_run(file), source, target)
        packed = read_packed(target, source)
    return packed


def value_list(points: tuple[SweptRun, ...], key: str) -> list[Any]:
    """Distinct values of a swept key in the order of the points, of which some may lack the key."""
    return list({text_of(p.values[key]): p.values[key] for p in points if key in p.values}.values())


def labels(values: list[Any]) -> dict[str, str]:
    """Short labels for the distinct values of a swept key, by their JSON.

    Words and numbers label themselves. Sections are labelled by `method`, `kind` or `name` if that tells them apart,
    otherwise by what differs.
    """
    texts = [text_of(value) for value in values]
    sections = [value for value in values if isinstance(value, dict)]
    if len(sections) == len(values):
        for tag in ("method", "kind", "name"):
            tags = [str(value.get(tag)) for value in sections if tag in value]
            if len(set(tags)) == len(values):
                return dict(zip(texts, tags))
    return {text: _label(value, sections) for text, value in zip(texts, values)}


def _label(value: Any, sections: list[dict[str, Any]]) -> str:
    if isinstance(value, str):
        return value
    if not isinstance(value, dict):
        return text_of(value)
    differing = {k: v for k, v in value.items() if any(text_of(v) != text_of(s.get(k, v)) for s in sections)}
    tags = [str(value[tag]) for tag in ("method", "kind", "name") if tag in value]
    rest = [f"{k}: {text_of(v)}" for k, v in differing.items() if k not in ("method", "kind", "name")]
    return ", ".join([*tags[:1], *rest]) or text_of(value)


def text_of(value: Any) -> str:
    """The JSON of a value, by which values are told apart."""
    return json.dumps(value, sort_keys=True)

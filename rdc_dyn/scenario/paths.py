"""Paths of a scenario: kept within its folder, written out for a run directory, and turned back for a file.

A scenario may come from a stranger, and whoever runs it has not chosen what it reads: a file may only name paths in its
own folder, and those given on the command line may lie anywhere.
"""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path, PureWindowsPath
from typing import Any

from rdc_dyn.scenario.document import Document
from rdc_dyn.scenario.family import walk
from rdc_dyn.scenario.scenario import Scenario
from rdc_dyn.scenario.section import PathMark, Section, marks
from rdc_dyn.scenario.sections.data import ROOT_VARIABLE
from rdc_dyn.scenario.written import Finding, KeyPath, dotted

_ROOT = ("data", "root")


def outside(document: Document) -> list[Finding]:
    """The paths that leave the folder of a scenario, its overrides applied; none for a document that is no file."""
    folder = document.folder
    if folder is None or not isinstance(document.tree, dict):
        return []
    found = []
    data = document.tree.get("data")
    root = data.get("root") if isinstance(data, dict) else None
    for path, mark, value in _paths(Scenario, document.tree):
        base = folder / root if mark.rooted and isinstance(root, str) else folder
        if not _given(document, path) and _leaves(base, mark.split(value)[0]):
            message = (
                f"leaves the folder of the scenario, which a scenario file may not; if {value!r} is meant, give it "
                f"yourself: --set {dotted(path)}={value}"
            )
            found.append(Finding(path, message))
    return found


def _given(document: Document, path: KeyPath) -> bool:
    """Whether a value comes from the command line."""
    position = document.position(path)
    return position.line == sys.maxsize and position.text.startswith("--")  # a file may be called --x.yaml


def _leaves(folder: Path, value: str) -> bool:
    """Whether a path leads out of a folder: from the root, upwards, from a home, or by a link."""
    if PureWindowsPath(value).drive or value.startswith("~"):
        return True
    try:
        return not (folder / value).resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError):  # a loop of links, a NUL
        return True


def absolute(scenario: Scenario, folder: Path) -> Scenario:
    """The scenario without relative paths, so that its copy in a run directory means the same files."""
    data = scenario.data
    root = None if data is None else data.root_folder(folder)

    def change(place: KeyPath, mark: PathMark, value: str) -> str:
        path, name = mark.split(value)
        return str((root or folder if mark.rooted else folder) / path) + name

    located: Scenario = _with_paths(scenario, change)
    if root is None or located.data is None or not any(part.in_root for part in located.data.sets.values()):
        return located
    return located.set(data=located.data.set(root=str(root)))


def portable(scenario: Scenario, folder: Path) -> tuple[Scenario, list[str]]:
    """The scenario of a run as a file in a folder, the inverse of `absolute`, and what has to be said to run it.

    What lies below the folder is named from there. A root of data sets elsewhere is left to RDC_DYN_DATA. Other paths
    stay as they are: a file may not name them, and whoever runs it gives them on the command line, or this variable in
    the environment.
    """
    folder, needed = folder.resolve(), list[str]()
    root = None if scenario.data is None or scenario.data.root is None else Path(scenario.data.root)
    named = os.environ.get(ROOT_VARIABLE)

    def change(place: KeyPath, mark: PathMark, value: str) -> str | None:
        path, name = mark.split(value)
        if place == _ROOT and named and Path(named).absolute() == Path(path):
            return None
        inside = None if root is None or not mark.rooted else _below(path, root.resolve())
        inside = inside or _below(path, folder)
        if inside is None:
            at_root = f"{ROOT_VARIABLE}={path} or " if place == _ROOT else ""
            needed.append(f"{at_root}--set {dotted(place)}={value}")
        return inside + name if inside else (None if place == _ROOT else value)

    return _with_paths(scenario, change), needed


def _below(path: str, folder: Path) -> str | None:
    """A path from a folder that it lies in, links followed; None where it lies elsewhere."""
    try:
        found = Path(path).resolve()
    except (OSError, RuntimeError, ValueError):
        return None
    return found.relative_to(folder).as_posix() if found.is_relative_to(folder) else None


def _path_mark(section: type[Section], name: str) -> PathMark | None:
    """How a field holds a path; None where it does not."""
    return next((mark for mark in marks(section.model_fields[name]) if isinstance(mark, PathMark)), None)


def _paths(section: type[Section], own: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, PathMark, str]]:
    """The paths of a raw tree, and where they stand and start."""
    for each, value, place in walk(section, own, path):
        for name, field in each.model_fields.items():
            key = field.alias or name
            mark = _path_mark(each, name)
            if mark and isinstance(value, dict) and isinstance(value.get(key), str):
                yield (*place, key), mark, value[key]


def _with_paths(section: Section, change: Callable[[KeyPath, PathMark, str], str | None], path: KeyPath = ()) -> Any:
    """A copy of a section in which every path, at any depth, is what `change` makes of it."""
    update = {}
    for name, field in type(section).model_fields.items():
        value, place = getattr(section, name), (*path, field.alias or name)
        if isinstance(value, Section):
            update[name] = _with_paths(value, change, place)
        elif isinstance(value, str) and (mark := _path_mark(type(section), name)) is not None:
            update[name] = change(place, mark, value)
    return section.set(**update)

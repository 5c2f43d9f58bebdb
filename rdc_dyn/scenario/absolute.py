"""Paths of a scenario: written out for a run directory, and turned back for a file that may name only its folder."""

from __future__ import annotations

import os
from pathlib import Path

from rdc_dyn.scenario.scenario import Scenario
from rdc_dyn.scenario.section import PathMark
from rdc_dyn.scenario.sections.data import ROOT_VARIABLE
from rdc_dyn.scenario.walk import with_paths
from rdc_dyn.scenario.written import Path as Place
from rdc_dyn.scenario.written import dotted

_ROOT = ("data", "root")


def absolute(scenario: Scenario, folder: Path) -> Scenario:
    """The scenario without relative paths, so that its copy in a run directory means the same files."""
    data = scenario.data
    root = None if data is None else data.root_folder(folder)

    def change(place: Place, mark: PathMark, path: str) -> str:
        return str((root or folder if mark.rooted else folder) / path)

    located: Scenario = with_paths(scenario, change)
    if root is None or located.data is None or not any(part.in_root for part in located.data.sets):
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

    def change(place: Place, mark: PathMark, path: str) -> str | None:
        if place == _ROOT and named and Path(named).absolute() == Path(path):
            return None
        inside = None if root is None or not mark.rooted else _below(path, root.resolve())
        inside = inside or _below(path, folder)
        if inside is None:
            at_root = f"{ROOT_VARIABLE}={path} or " if place == _ROOT else ""
            needed.append(f"{at_root}--set {dotted(place)}={path}")
        return inside or (None if place == _ROOT else path)

    return with_paths(scenario, change), needed


def _below(path: str, folder: Path) -> str | None:
    """A path from a folder that it lies in, links followed; None where it lies elsewhere."""
    try:
        found = Path(path).resolve()
    except (OSError, RuntimeError, ValueError):
        return None
    return found.relative_to(folder).as_posix() if found.is_relative_to(folder) else None

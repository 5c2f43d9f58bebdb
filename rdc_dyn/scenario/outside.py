"""A scenario file may only name paths in its own folder; paths given on the command line may lie anywhere.

A scenario may come from a stranger, and whoever runs it has not chosen what it reads.
"""

from __future__ import annotations

from pathlib import Path as FilePath
from pathlib import PureWindowsPath

from rdc_dyn.scenario.document import Document
from rdc_dyn.scenario.scenario import Scenario
from rdc_dyn.scenario.walk import paths
from rdc_dyn.scenario.written import Finding, dotted


def outside(document: Document) -> list[Finding]:
    """The paths that leave the folder of a scenario, its overrides applied; none for a document that is no file."""
    folder = document.folder
    if folder is None or not isinstance(document.tree, dict):
        return []
    found = []
    for path, value in paths(Scenario, document.tree):
        if not document.position(path).text.startswith("--") and _leaves(folder, value):
            message = (
                f"leaves the folder of the scenario, which a scenario file may not; if {value!r} is meant, give it "
                f"yourself: --set {dotted(path)}={value}"
            )
            found.append(Finding(path, message))
    return found


def _leaves(folder: FilePath, value: str) -> bool:
    """Whether a path leads out of a folder: from the root, upwards, from a home, or by a link."""
    if PureWindowsPath(value).drive or value.startswith("~"):
        return True
    try:
        return not (folder / value).resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError):  # a loop of links, a NUL
        return True

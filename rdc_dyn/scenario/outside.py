"""Keep the paths in a scenario file inside the folder of that file; those on the command line may lie anywhere.

A scenario may come from a stranger, and whoever runs it has not chosen what it reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path as FilePath
from pathlib import PureWindowsPath
from typing import Any

from rdc_dyn.scenario.places import Document
from rdc_dyn.scenario.problems import Finding, Path, dotted

#: Keys whose values are paths, by section.
_PATHS = {"data": {"root", "file", "folder", "coupling"}, "start": {"from"}}


def outside(document: Document) -> list[Finding]:
    """Find paths that leave the folder of the scenario file; overrides and documents without a file may name any."""
    folder = document.folder
    if folder is None or not isinstance(document.tree, dict):
        return []
    found = []
    for section, names in _PATHS.items():
        for path, value in _named(document.tree.get(section), (section,), names):
            if not document.position(path).text.startswith("--") and _leaves(folder, value):
                message = (
                    f"leaves the folder of the scenario, which a scenario file may not; if {value!r} is meant, give it "
                    f"yourself: --set {dotted(path)}={value}"
                )
                found.append(Finding(path, message))
    return found


def _named(tree: Any, path: Path, names: set[str]) -> Iterator[tuple[Path, str]]:
    """Yield the path and value of each string whose key is in `names`, at any depth of a section."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            if key in names and isinstance(value, str):
                yield (*path, key), value
            else:
                yield from _named(value, (*path, key), names)


def _leaves(folder: FilePath, value: str) -> bool:
    """Whether a path leads out of a folder: from the root, upwards, from a home directory or by a link."""
    if PureWindowsPath(value).drive or value.startswith("~"):
        return True
    try:
        return not (folder / value).resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError):  # a loop of links, a NUL
        return True

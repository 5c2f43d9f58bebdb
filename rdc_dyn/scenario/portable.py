"""Turn the scenario of a run into a file to run again, with paths that this file may contain."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from rdc_dyn.scenario.absolute import ROOT_VARIABLE
from rdc_dyn.scenario.schema import ImageFolder, Scenario


def portable(scenario: Scenario, folder: Path) -> tuple[Scenario, list[str]]:
    """Rewrite the absolute paths of a scenario for a file in `folder`; the inverse of `absolute`.

    Paths below the folder become relative to it. A root of data sets elsewhere is left to RDC_DYN_DATA. All other paths
    stay as they are: a file may not contain them, so whoever runs it passes them with `--set`. The second return value
    lists these options and variables.
    """
    folder, needed = folder.resolve(), list[str]()

    def path(key: str, value: str | None) -> str | None:
        if value is None:
            return None
        inside = _below(value, folder)
        if inside is None:
            needed.append(f"--set {key}={value}")
        return value if inside is None else inside

    start = scenario.start.model_copy(update={"from_": path("start.from", scenario.start.from_)})
    data = scenario.data
    if data is not None:
        root = _root(data.root, folder, needed)
        place = None if data.root is None else Path(data.root)

        def part(key: str, of: Any) -> Any:
            if isinstance(of, ImageFolder):
                inside = None if place is None else _below(of.folder, place.resolve())
                return of.model_copy(update={"folder": inside or path(f"{key}.folder", of.folder)})
            name = getattr(of, "file", None)
            return of if name is None else of.model_copy(update={"file": path(f"{key}.file", name)})

        update = {key: part(f"data.{key}", getattr(data, key)) for key in ("source", "target")}
        if data.validation is not None:
            held_out = {e: part(f"data.validation.{e}", getattr(data.validation, e)) for e in ("source", "target")}
            update["validation"] = data.validation.model_copy(update=held_out)
        update |= {"root": root, "coupling": path("data.coupling", data.coupling)}
        data = data.model_copy(update=update)
    return scenario.model_copy(update={"data": data, "start": start}), needed


def _root(root: str | None, folder: Path, needed: list[str]) -> str | None:
    """The key data.root; None where the environment variable names the folder or has to."""
    named = os.environ.get(ROOT_VARIABLE)
    if root is None or (named and Path(named).absolute() == Path(root)):
        return None
    inside = _below(root, folder)
    if inside is None:
        needed.append(f"{ROOT_VARIABLE}={root} or --set data.root={root}")
    return inside


def _below(path: str, folder: Path) -> str | None:
    """The path relative to `folder`, with links resolved; None if it lies elsewhere."""
    try:
        found = Path(path).resolve()
    except (OSError, RuntimeError, ValueError):
        return None
    return found.relative_to(folder).as_posix() if found.is_relative_to(folder) else None

"""Relative paths of a scenario, written out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rdc_dyn.scenario.schema import Scenario


def absolute(scenario: Scenario, folder: Path) -> Scenario:
    """Write the paths of a scenario out, so that its copy in a run directory means the same files.

    Args:
        scenario: Any.
        folder: Folder that relative paths of the scenario start from.

    Returns:
        The same scenario without relative paths.
    """

    def located(section: Any, *keys: str) -> Any:
        paths = {key: getattr(section, key, None) for key in keys}
        return section and section.model_copy(update={k: str(folder / v) for k, v in paths.items() if v is not None})

    data = located(scenario.data, "root", "coupling")
    if data is not None:
        data = data.model_copy(update={k: located(getattr(data, k), "file") for k in ("source", "target")})
    return scenario.model_copy(update={"data": data, "start": located(scenario.start, "from_")})

"""Make the relative paths of a scenario absolute."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from rdc_dyn.scenario.schema import Cifar10, Data, Digits, FashionMnist, ImageFolder, Mnist, Npz, Scenario

#: Environment variable that names the folder of data sets if the scenario does not.
ROOT_VARIABLE = "RDC_DYN_DATA"
_Part = Digits | Mnist | FashionMnist | Cifar10 | ImageFolder | Npz
#: Data sets that lie in the root folder.
_IN_ROOT = (Mnist, FashionMnist, Cifar10, ImageFolder)


def data_root(section: Data, folder: Path) -> Path | None:
    """The folder of data sets, from `data.root` (relative to `folder`) or else RDC_DYN_DATA; None if neither is set."""
    if section.root is not None:
        return folder / section.root
    named = os.environ.get(ROOT_VARIABLE)
    return Path(named).absolute() if named else None


def absolute(scenario: Scenario, folder: Path) -> Scenario:
    """Make paths relative to `folder` absolute, so that a copy of the scenario elsewhere names the same files."""
    data = None if scenario.data is None else _absolute_data(scenario.data, folder)
    return scenario.model_copy(update={"data": data, "start": _located(scenario.start, folder, "from_")})


def _absolute_data(data: Data, folder: Path) -> Data:
    parts = [data.source, data.target]
    if data.validation is not None:
        parts += [data.validation.source, data.validation.target]
    root = data_root(data, folder)

    def part(of: _Part | None) -> Any:
        if isinstance(of, ImageFolder):
            return _located(of, root or folder, "folder")
        return _located(of, folder, "file")

    update: dict[str, Any] = {key: part(getattr(data, key)) for key in ("source", "target")}
    if data.validation is not None:
        held_out = {key: part(getattr(data.validation, key)) for key in ("source", "target")}
        update["validation"] = data.validation.model_copy(update=held_out)
    if root is not None and (data.root is not None or any(isinstance(each, _IN_ROOT) for each in parts)):
        update["root"] = str(root)
    return _located(data, folder, "coupling").model_copy(update=update)


def _located(section: Any, folder: Path, key: str) -> Any:
    path = getattr(section, key, None)
    return section if path is None else section.model_copy(update={key: str(folder / path)})

"""Data sets by name, read by the sections that scenarios have for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rdc_dyn.data.datasets import HELD_OUT, HELD_OUT_TARGET, SOURCE, TARGET, Selection
from rdc_dyn.data.readers import Source
from rdc_dyn.scenario.sections.readers import READERS


def named(
    name: str,
    classes: tuple[int | str, ...] | None = None,
    limit: int | None = None,
    path: Path | None = None,
    **keys: Any,
) -> Selection:
    """Some data of a set: `path` is the root folder, the folder of images or the file."""
    own = {"npz": "file", "image_folder": "folder"}.get(name)
    root = path if own is None or path is None else path.parent
    given = {} if own is None or path is None else {own: path.name}
    section = READERS.members[name].model_validate({"name": name} | given | keys)
    return Selection(lambda: section.read(Source(root or Path(), root)), classes, limit)


def sets(source: Selection, target: Selection | None = None, *held_out: Selection) -> dict[str, Selection]:
    """Data sets by the keys that they have in a scenario; of those that are held out the target's comes second."""
    keys = (SOURCE, TARGET, HELD_OUT, HELD_OUT_TARGET)
    return {key: each for key, each in zip(keys, (source, target, *held_out)) if each is not None}

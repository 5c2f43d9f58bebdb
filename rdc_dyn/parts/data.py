"""The section `data` becomes samples of (x, y) on the device."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from rdc_dyn.objective.data import Data
from rdc_dyn.objective.datasets import HeldOut, Selection, Transport, load_data
from rdc_dyn.objective.likelihood import Bernoulli, Likelihood
from rdc_dyn.scenario import data_root, schema

_Part = schema.Digits | schema.Mnist | schema.FashionMnist | schema.Cifar10 | schema.ImageFolder | schema.Npz


def build_data(section: schema.Data, seed: int, folder: Path, likelihood: Likelihood, like: Tensor) -> Data:
    """The data that J averages over, with what is held out of them.

    Args:
        section: What is asked for.
        seed: Seed of draws and splits.
        folder: Folder that relative paths start from.
        likelihood: d(x|z), which says what x may be.
        like: Tensor whose dtype and device the data get.

    Returns:
        The data; a DataError says what is wrong with their files.
    """
    root = data_root(section, folder)

    def selection(part: _Part) -> Selection:
        classes = None if part.classes == "all" else part.classes
        if isinstance(part, schema.ImageFolder):
            path = (root or folder) / part.folder
            return Selection(part.name, classes, part.limit, path, size=part.size, channels=part.channels)
        if isinstance(part, schema.Npz):
            return Selection(part.name, classes, part.limit, folder / part.file)
        split = "train" if isinstance(part, schema.Digits) else part.split
        return Selection(part.name, classes, part.limit, root, section.download, split)

    def held_out(parts: schema.Validation) -> HeldOut:
        return HeldOut(selection(parts.source), None if parts.target is None else selection(parts.target))

    assert section.source is not None  # the scenario's checks ask for it
    transport = Transport(None if section.coupling is None else folder / section.coupling, section.label_cost)
    return load_data(
        selection(section.source),
        None if section.target is None else selection(section.target),
        section.validation_fraction,
        seed,
        unit_interval=isinstance(likelihood, Bernoulli),
        like=like,
        transport=transport if section.path == "optimal_transport" else None,
        held_out=None if section.validation is None else held_out(section.validation),
    )

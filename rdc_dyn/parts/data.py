"""Load the data that the section `data` describes."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from rdc_dyn.objective.data import Data
from rdc_dyn.objective.datasets import HeldOut, Selection, Transport, load_data
from rdc_dyn.objective.likelihood import Bernoulli, Likelihood
from rdc_dyn.scenario import data_root, schema

_Part = schema.Digits | schema.Mnist | schema.FashionMnist | schema.Cifar10 | schema.ImageFolder | schema.Npz


def build_data(section: schema.Data, seed: int, folder: Path, likelihood: Likelihood, like: Tensor) -> Data:
    """Load the data that J averages over, and what is held out of them, in the dtype and on the device of `like`.

    Relative paths start from `folder`; a Bernoulli likelihood requires x in [0, 1]. A DataError reports unusable files.
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

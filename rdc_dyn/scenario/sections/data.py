"""The section `data`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from rdc_dyn.scenario.section import NonNegative, PathStr, Section
from rdc_dyn.scenario.sections.objectives import OBJECTIVES
from rdc_dyn.scenario.sections.readers import READERS, ReaderSection
from rdc_dyn.scenario.written import Finding, KeyPath, Tree, number, section, show

if TYPE_CHECKING:
    from rdc_dyn.data.datasets import Selection
    from rdc_dyn.data.samples import Data
    from rdc_dyn.objective.likelihood import Likelihood
    from rdc_dyn.scenario.context import Context

#: Environment variable that names the folder of data sets where a scenario does not.
ROOT_VARIABLE = "RDC_DYN_DATA"
DataSet = Annotated[ReaderSection, READERS]


class Validation(Section):
    """Data sets that are held out in place of a share of source and target."""

    source: DataSet = Field(description="held-out data of the source")
    target: DataSet | None = Field(default=None, description="needed where there is a data.target")

    @classmethod
    def check(cls, tree: Tree, path: KeyPath) -> Iterator[Finding]:
        """Held-out data are given one way, for both ends, and are other data than those of the training."""
        data, validation = section(tree, "data"), section(tree, *path)
        if not isinstance(data.get("validation"), dict):
            return
        if number(data.get("validation_fraction")):
            message = "not with data.validation, which names the held-out data; leave one of them out"
            yield Finding(("data", "validation_fraction"), message, at_key=True)
        has_target, holds_target = (of.get("target") is not None for of in (data, validation))
        if has_target and not holds_target:
            yield Finding((*path, "target"), "missing; data.target moves the data to a set of its own")
        if holds_target and not has_target:
            yield Finding((*path, "target"), "not used: there is no data.target", at_key=True)
        for end in ("source", "target"):
            yield from _beside(end, section(data, end), section(validation, end))


class DataSection(Section):
    """Where x and y come from; `target` moves the data along data_position; linear_gaussian takes only `path`."""

    source: DataSet | None = Field(default=None, description="needed by every objective but linear_gaussian")
    target: DataSet | None = Field(
        default=None, description="data at data position 1, for processes that move the data"
    )
    path: Literal["mixture", "optimal_transport"] = Field(
        default="mixture", description="how the data move from source to target"
    )
    coupling: PathStr | None = Field(
        default=None,
        description="for optimal_transport: NumPy file, relative to the scenario, with an array `coupling` of "
        "N_source x N_target, row i the distribution of the targets of source datum i, data in the order in which they "
        "are taken (after classes, limit and validation_fraction); null: the optimal plan for squared distances of x",
    )
    label_cost: NonNegative = Field(
        default=0.0, description="for optimal_transport: what the plan pays, beside |x - x'|^2, where the labels differ"
    )
    root: PathStr | None = Field(
        default=None,
        description="folder of data sets, relative to the scenario; null: the environment variable RDC_DYN_DATA",
    )
    download: bool = Field(default=False, description="let torchvision download a missing data set")
    validation_fraction: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.0, description="share of the source, and of the target, held out and never seen by the dynamics"
    )
    validation: Validation | None = Field(
        default=None, description="data sets held out in place of a share, such as those with split: test"
    )

    @property
    def sets(self) -> dict[str, ReaderSection]:
        """All that are named, by their keys."""
        found = {"data.source": self.source, "data.target": self.target}
        if self.validation is not None:
            found |= {
                "data.validation.source": self.validation.source,
                "data.validation.target": self.validation.target,
            }
        return {key: each for key, each in found.items() if each is not None}

    def root_folder(self, folder: Path) -> Path | None:
        """The folder of data sets: `root`, or what RDC_DYN_DATA names."""
        if self.root is not None:
            return folder / self.root
        named = os.environ.get(ROOT_VARIABLE)
        return Path(named).absolute() if named else None

    def build(self, context: Context, likelihood: Likelihood) -> Data:
        """The data that J averages over, on the device, with what is held out of them."""
        from rdc_dyn.data.datasets import Transport, load_data

        transport = Transport(None if self.coupling is None else context.folder / self.coupling, self.label_cost)
        return load_data(
            self.selections(context.folder),
            self.validation_fraction,
            context.scenario.seed,
            unit_interval=likelihood.unit_interval,
            like=context.like,
            transport=transport if self.path == "optimal_transport" else None,
        )

    def selections(self, folder: Path) -> dict[str, Selection]:
        """What is taken from each set, by its key; relative paths start from a folder, and nothing is read yet."""
        from rdc_dyn.data.datasets import Selection
        from rdc_dyn.data.readers import Source

        place = Source(folder, self.root_folder(folder), self.download)

        def selection(part: ReaderSection) -> Selection:
            classes = None if part.classes == "all" else part.classes
            return Selection(lambda: part.read(place), classes, part.limit, part.binarise)

        return {key: selection(part) for key, part in self.sets.items()}

    @classmethod
    def check(cls, tree: Tree, path: KeyPath) -> Iterator[Finding]:
        """A coupling couples two sets, and a download has a folder to go to."""
        data, objective = section(tree, *path), OBJECTIVES.of(tree.get("objective"))
        if objective is not None and objective.samples_data:
            yield from _coupling(data)
        if data.get("download") is True and data.get("root") is None and not os.environ.get(ROOT_VARIABLE):
            message = f"missing; download: true needs a folder to download to, here or in the variable {ROOT_VARIABLE}"
            yield Finding((*path, "root"), message)


def _coupling(data: Tree) -> Iterator[Finding]:
    mixture = data.get("path", "mixture") == "mixture"
    if number(data.get("label_cost")) and (mixture or data.get("coupling")):
        yield Finding(("data", "label_cost"), "only for the optimal plan of path: optimal_transport", at_key=True)
    if data.get("coupling") is None:
        return
    if mixture:
        yield Finding(("data", "coupling"), "only with path: optimal_transport; a mixture couples nothing", at_key=True)
    if data.get("target") is None:
        yield Finding(("data", "target"), "missing; data.coupling says which datum of it a source datum becomes")


def _beside(end: str, training: Tree, held_out: Tree) -> Iterator[Finding]:
    """Held-out data of the same kind of set are another part of it, with the same classes."""
    member = READERS.of(held_out)
    if member is None or held_out["name"] != training.get("name"):
        return
    key = member.apart
    default, path = ("train" if key == "split" else None), ("data", "validation", end)
    if key == "name" or training.get(key, default) == held_out.get(key, default):
        hint = "give split: test" if key == "split" else "leave data.validation out, set data.validation_fraction"
        yield Finding((*path, key), f"these are the data of data.{end} again, not held-out ones; {hint}")
    one, other = (part.get("classes", "all") for part in (training, held_out))
    if one != other:
        yield Finding((*path, "classes"), f"must be those of data.{end}, {show(one)}, so that labels mean the same")

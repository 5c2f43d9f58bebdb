"""The section `data`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rdc_dyn.scenario.schema.base import Count, Labels, NonNegative, Section


class _Images(Section):
    classes: Literal["all"] | Labels = Field(default="all", description="labels to keep, or all")
    limit: Count | None = Field(default=None, description="keep this many data, drawn with the scenario's seed")


class Digits(_Images):
    """The 1,797 8 x 8 digits that scikit-learn ships."""

    name: Literal["digits"]


class TorchvisionImages(_Images):
    """MNIST or Fashion-MNIST, read by torchvision from data.root."""

    name: Literal["mnist", "fashion_mnist"]


class Npz(_Images):
    """A NumPy file with arrays `x` (data, ...) and `y` (integer labels)."""

    name: Literal["npz"]
    file: str = Field(description="path of the file, relative to the scenario")


DataSet = Annotated[Digits | TorchvisionImages | Npz, Field(discriminator="name")]


class Data(Section):
    """Where x and y come from; `target` moves the data along data_position; linear_gaussian takes only `path`."""

    source: DataSet | None = Field(default=None, description="needed by every objective but linear_gaussian")
    target: DataSet | None = None
    path: Literal["mixture", "optimal_transport"] = Field(
        default="mixture", description="how the data move from source to target"
    )
    coupling: str | None = Field(
        default=None,
        description="for optimal_transport: NumPy file, relative to the scenario, with an array `coupling` of "
        "N_source x N_target, row i the distribution of the targets of source datum i, data in the order in which they "
        "are taken (after classes, limit and validation_fraction); null: the optimal plan for squared distances of x",
    )
    label_cost: NonNegative = Field(
        default=0.0, description="for optimal_transport: what the plan pays, beside |x - x'|^2, where the labels differ"
    )
    root: str | None = Field(default=None, description="folder of downloaded data sets, relative to the scenario")
    download: bool = Field(default=False, description="let torchvision download a missing data set")
    validation_fraction: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.0, description="share of the source held out, never seen by the dynamics"
    )

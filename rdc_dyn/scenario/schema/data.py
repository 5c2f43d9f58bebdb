"""Schema of the section `data`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rdc_dyn.scenario.schema.base import ClassNames, Count, Labels, NonNegative, Section

#: Class names, in the order of their labels, of the data sets whose names are known before any file is read.
CLASS_NAMES = {
    "fashion_mnist": (
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    ),
    "cifar10": ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
}  # fmt: skip

_CHOSEN = "renumbered 0, 1, ... in the order given; or all"
Split = Annotated[Literal["train", "test"], Field(description="the training or the test images")]
Limit = Annotated[Count | None, Field(description="keep this many data, drawn with the scenario's seed")]


class _Numbered(Section):
    classes: Literal["all"] | Labels = Field(default="all", description=f"labels to keep, {_CHOSEN}")
    limit: Limit = None


class _Named(Section):
    classes: Literal["all"] | ClassNames = Field(
        default="all", description=f"names or labels of the classes to keep (of image_folder only names), {_CHOSEN}"
    )
    limit: Limit = None


class Digits(_Numbered):
    """The 1,797 8 x 8 digits that scikit-learn ships."""

    name: Literal["digits"]


class Mnist(_Numbered):
    """MNIST, 28 x 28 digits, read by torchvision from MNIST/raw in data.root."""

    name: Literal["mnist"]
    split: Split = "train"


class FashionMnist(_Named):
    """Fashion-MNIST, 28 x 28 pieces of clothing, read by torchvision from FashionMNIST/raw in data.root."""

    name: Literal["fashion_mnist"]
    split: Split = "train"


class Cifar10(_Named):
    """CIFAR-10, 32 x 32 colour images, read by torchvision from cifar-10-batches-py in data.root."""

    name: Literal["cifar10"]
    split: Split = "train"


class ImageFolder(_Named):
    """Your own images: a folder with one subfolder of image files per class; classes are numbered alphabetically."""

    name: Literal["image_folder"]
    folder: str = Field(description="path of the folder, relative to data.root where that is set, else to the scenario")
    size: Count = Field(description="height and width; images of another size are resized, antialiased")
    channels: Literal["rgb", "grey"] = Field(default="rgb", description="colours that the images are converted to")


class Npz(_Numbered):
    """A NumPy .npz file with arrays `x` of shape (N, ...) and `y` of N integer labels."""

    name: Literal["npz"]
    file: str = Field(description="path of the file, relative to the scenario")


DataSet = Annotated[
    Digits | Mnist | FashionMnist | Cifar10 | ImageFolder | Npz,
    Field(discriminator="name"),
]


class Validation(Section):
    """Data sets held out for validation, in place of a share of source and target."""

    source: DataSet
    target: DataSet | None = Field(default=None, description="needed where there is a data.target")


class Data(Section):
    """Samples of (x, y); with a `target` they move along data_position; linear_gaussian uses only `path`."""

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
    root: str | None = Field(
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

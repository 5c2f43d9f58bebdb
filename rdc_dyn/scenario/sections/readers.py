"""Data sets that can be read."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from rdc_dyn.scenario.family import Family
from rdc_dyn.scenario.section import ClassNames, Count, Labels, PathStr, RootedPathStr, Section
from rdc_dyn.scenario.written import Finding, KeyPath, Tree, section, show, unknown

if TYPE_CHECKING:
    from rdc_dyn.data.readers import Labelled, Source

_CHOSEN = "renumbered 0, 1, ... in the order given; or all"


class ReaderSection(Section):
    """A data set.

    Attributes:
        in_root: Whether it lies in the folder `data.root`.
        apart: Key that tells two sets of one kind apart; those of kinds without it are all the same.
        class_names: Names of its classes by label, where they are known before any file is read.
    """

    name: str
    classes: Any = "all"
    limit: Count | None = Field(default=None, description="keep this many data, drawn with the scenario's seed")
    binarise: float | None = Field(
        default=None, description="inputs above this become 1 and all others 0, as in binarised MNIST with 0.5"
    )
    in_root: ClassVar[bool] = False
    apart: ClassVar[str] = "name"
    class_names: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def check(cls, tree: Tree, path: KeyPath) -> Iterator[Finding]:
        """Its classes are some that it has, each given once."""
        own, names = section(tree, *path), cls.class_names
        given: list[Any] = own["classes"] if isinstance(own.get("classes"), list) else []
        # A name and its label are the same class.
        labels = [names.index(one) if one in names else one for one in given]
        for place, one in enumerate(given):
            if names and isinstance(one, str) and one not in names:
                yield Finding((*path, "classes", place), unknown("class", one, names))
            elif labels[place] in labels[:place]:
                message = f"the class {show(one).removeprefix('the string ')} is given twice"
                yield Finding((*path, "classes", place), message)

    @abstractmethod
    def read(self, source: Source) -> Labelled:
        """All of its data as far as their labels; a `DataError` where that is not possible."""


class NumberedReaderSection(ReaderSection):
    """A data set whose classes are numbers."""

    classes: Literal["all"] | Labels = Field(default="all", description=f"labels to keep, {_CHOSEN}")


class NamedReaderSection(ReaderSection):
    """A data set whose classes have names."""

    classes: Literal["all"] | ClassNames = Field(
        default="all", description=f"names or labels of the classes to keep (of image_folder only names), {_CHOSEN}"
    )


class DigitsSection(NumberedReaderSection):
    """The 1,797 8 x 8 digits that scikit-learn ships."""

    name: Literal["digits"]

    def read(self, source: Source) -> Labelled:
        """All of them."""
        from rdc_dyn.data.readers.arrays import read_digits

        return read_digits()


class ImageFolderSection(NamedReaderSection):
    """Anyone's own images: a folder that holds a folder of image files for each class, numbered in their order."""

    name: Literal["image_folder"]
    folder: RootedPathStr = Field(
        description="path of the folder, relative to data.root where that is set, else to the scenario"
    )
    size: Count = Field(description="height and width; images of another size are resized, antialiased")
    channels: Literal["rgb", "grey"] = Field(default="rgb", description="colours that the images are converted to")
    in_root = True
    apart = "folder"

    def read(self, source: Source) -> Labelled:
        """The images, which are decoded when their inputs are asked for."""
        from rdc_dyn.data.readers.image_folder import read_image_folder

        return read_image_folder((source.root or source.folder) / self.folder, self.size, self.channels)


class NpzSection(NumberedReaderSection):
    """A NumPy file with arrays `x` (data, ...) and `y` (integer labels)."""

    name: Literal["npz"]
    file: PathStr = Field(description="path of the file, relative to the scenario")
    apart = "file"

    def read(self, source: Source) -> Labelled:
        """All of its data."""
        from rdc_dyn.data.readers.arrays import read_npz

        return read_npz(source.folder / self.file)


class TorchvisionSection(ReaderSection):
    """A data set that torchvision reads.

    Attributes:
        published: Its class in torchvision, and its folder in `data.root`.
    """

    split: Literal["train", "test"] = Field(default="train", description="the training or the test images")
    in_root = True
    apart = "split"
    published: ClassVar[tuple[str, str]]

    def read(self, source: Source) -> Labelled:
        """The training or the test images."""
        from rdc_dyn.data.readers.torchvision_sets import read_torchvision

        return read_torchvision(
            self.name, *self.published, source.root, self.split, self.class_names, download=source.download
        )


class MnistSection(NumberedReaderSection, TorchvisionSection):
    """MNIST, 28 x 28 digits, read by torchvision from MNIST/raw in data.root."""

    name: Literal["mnist"]
    published = ("MNIST", "MNIST/raw")


class FashionMnistSection(NamedReaderSection, TorchvisionSection):
    """Fashion-MNIST, 28 x 28 pieces of clothing, read by torchvision from FashionMNIST/raw in data.root."""

    name: Literal["fashion_mnist"]
    published = ("FashionMNIST", "FashionMNIST/raw")
    class_names = (
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    )  # fmt: skip


class Cifar10Section(NamedReaderSection, TorchvisionSection):
    """CIFAR-10, 32 x 32 colour images, read by torchvision from cifar-10-batches-py in data.root."""

    name: Literal["cifar10"]
    published = ("CIFAR10", "cifar-10-batches-py")
    class_names = (
        "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
    )  # fmt: skip


READERS = Family("data", ReaderSection, "name", module="readers")

"""The data sets that torchvision reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from rdc_dyn.scenario.families import NamedReaderSection, NumberedReaderSection, ReaderSection

if TYPE_CHECKING:
    from rdc_dyn.data.readers import Labelled, Source


class _SplitSection(ReaderSection):
    split: Literal["train", "test"] = Field(default="train", description="the training or the test images")
    in_root: ClassVar[bool] = True
    apart: ClassVar[str] = "split"
    published: ClassVar[tuple[str, str]]

    def read(self, source: Source) -> Labelled:
        """The training or the test images."""
        from rdc_dyn.data.readers.torchvision_sets import read_torchvision

        return read_torchvision(self.name, *self.published, source.root, self.split, download=source.download)


class MnistSection(NumberedReaderSection, _SplitSection):
    """MNIST, 28 x 28 digits, read by torchvision from MNIST/raw in data.root."""

    name: Literal["mnist"]
    published: ClassVar[tuple[str, str]] = ("MNIST", "MNIST/raw")


class FashionMnistSection(NamedReaderSection, _SplitSection):
    """Fashion-MNIST, 28 x 28 pieces of clothing, read by torchvision from FashionMNIST/raw in data.root."""

    name: Literal["fashion_mnist"]
    published: ClassVar[tuple[str, str]] = ("FashionMNIST", "FashionMNIST/raw")
    class_names: ClassVar[tuple[str, ...]] = (
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    )  # fmt: skip


class Cifar10Section(NamedReaderSection, _SplitSection):
    """CIFAR-10, 32 x 32 colour images, read by torchvision from cifar-10-batches-py in data.root."""

    name: Literal["cifar10"]
    published: ClassVar[tuple[str, str]] = ("CIFAR10", "cifar-10-batches-py")
    class_names: ClassVar[tuple[str, ...]] = (
        "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
    )  # fmt: skip

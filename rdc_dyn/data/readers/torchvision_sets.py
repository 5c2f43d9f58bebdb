"""Reads MNIST, Fashion-MNIST and CIFAR-10 from torchvision's root folder, with values divided by 255."""

from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from rdc_dyn.data.readers.labelled import DataRows, Labelled, unit_levels
from rdc_dyn.status import DataError

#: Number of classes in each set.
_CLASSES = 10


def read_torchvision(
    name: str,
    kind: str,
    folder: str,
    root: Path | None,
    split: Literal["train", "test"],
    names: tuple[str, ...],
    *,
    download: bool,
) -> Labelled:
    """Read the training or the test images from the root folder; DataError if files are missing or damaged.

    `kind` is torchvision's class, `folder` where that looks for files below the root.

    CIFAR-10 comes as pickles, which could run any program: torchvision compares the md5 of each file with the published
    one before opening it.
    """
    from torchvision import datasets

    if root is None:
        raise DataError(
            f"data.root is not set; {name} is read from the folder that holds {folder}: set data.root, or the "
            "environment variable RDC_DYN_DATA"
        )
    try:
        images = getattr(datasets, kind)(str(root), train=split == "train", download=download)
    except Exception as error:  # torchvision raises all kinds of errors on missing and damaged files
        raise DataError(_not_read(root, name, folder, error)) from None
    pixels, y = _arrays(images)
    if len(pixels) != len(y):
        raise DataError(f"{root / folder}: {len(pixels)} images but {len(y)} labels")
    wrong = ((y < 0) | (y >= _CLASSES)).nonzero()
    if len(wrong):
        row = int(wrong[0])
        raise DataError(f"{root / folder}: datum {row} has label {int(y[row])}; expected 0 to {_CLASSES - 1}")
    shape = tuple(pixels.shape[1:])

    def inputs(rows: DataRows, dtype: torch.dtype) -> Tensor:
        return unit_levels(pixels[rows], dtype)

    return Labelled(name, y, shape if len(shape) == 3 else (1, *shape), inputs, names)


def _arrays(images: Any) -> tuple[Tensor, Tensor]:
    """Pixels, with any channels first, and labels."""
    if isinstance(images.data, Tensor):
        return images.data, images.targets.long()
    return torch.from_numpy(images.data.transpose(0, 3, 1, 2)), torch.tensor(images.targets)


def _not_read(root: Path, name: str, folder: str, error: Exception) -> str:
    """The error message: which folder lacks what, and what to do."""
    reason = " ".join(str(error).split()) or type(error).__name__
    if (root / folder).is_dir():
        return f"{root / folder}: a file of {name} is missing or damaged; put torchvision's files there anew ({reason})"
    return (
        f"{root}: {name} not found; put torchvision's files in {folder} there, set data.root or the environment "
        f"variable RDC_DYN_DATA to the folder that has them, or set data.download: true ({reason})"
    )

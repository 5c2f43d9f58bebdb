"""Named data sets → (x, y): digits that scikit-learn ships, torchvision's MNIST family, anyone's own npz file."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rdc_dyn.objective.coupling import optimal_coupling, read_coupling
from rdc_dyn.objective.data import Data, Sample, check_sample
from rdc_dyn.objective.npz_file import read_arrays
from rdc_dyn.status import DataError


@dataclass(frozen=True)
class Selection:
    """What to take of a data set.

    Attributes:
        name: digits, mnist, fashion_mnist or npz.
        classes: Labels to keep, renumbered 0, 1, … in the order given; None for all.
        limit: Most data to keep, drawn at random; None for all.
        path: Folder of a downloaded set, or the npz file.
        download: Whether torchvision may download.
    """

    name: str
    classes: tuple[int, ...] | None = None
    limit: int | None = None
    path: Path | None = None
    download: bool = False


@dataclass(frozen=True)
class Transport:
    """How data move.

    Attributes:
        file: npz file that says which datum becomes which; None for the optimal plan.
        label_cost: κ, what the plan pays for a pair whose labels differ, beside the squared distance of x.
    """

    file: Path | None = None
    label_cost: float = 0.0


def digits(selection: Selection) -> tuple[Tensor, Tensor]:
    """The 1,797 8 x 8 digits of scikit-learn (Alpaydin & Kaynak 1998), grey values divided by 16."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return torch.from_numpy(x / 16.0), torch.from_numpy(y.astype(np.int64))


def torchvision_images(selection: Selection) -> tuple[Tensor, Tensor]:
    """The training images of MNIST or Fashion-MNIST, grey values divided by 255.

    Args:
        selection: `path` is torchvision's root folder.

    Returns:
        x of shape (60000, 784) and y.

    Raises:
        DataError: If the files are not there.
    """
    from torchvision import datasets

    kind = {"mnist": datasets.MNIST, "fashion_mnist": datasets.FashionMNIST}[selection.name]
    if selection.path is None:
        raise DataError(
            f"data.root is not set; {selection.name} is read from the folder that holds {kind.__name__}/raw"
        )
    try:
        images = kind(str(selection.path), train=True, download=selection.download)
    except (RuntimeError, OSError, ValueError) as error:
        raise DataError(
            f"{selection.path}: {selection.name} not found; put torchvision's files in {kind.__name__}/raw there, or "
            f"set data.download: true ({error})"
        ) from None
    return images.data.flatten(1).double() / 255.0, images.targets.long()


def npz(selection: Selection) -> tuple[Tensor, Tensor]:
    """Arrays x and y of a NumPy file; x is flattened, y must be whole numbers.

    Args:
        selection: `path` is the file.

    Returns:
        x in float64 and y.

    Raises:
        DataError: If the file is not readable or the arrays are of the wrong kind.
    """
    path = selection.path
    assert path is not None  # the scenario names a file
    x, y = read_arrays(path, "x", "y")
    if x.ndim < 2 or y.ndim != 1:
        raise DataError(f"{path}: x has shape {x.shape}, y has shape {y.shape}; expected (N, ...) and (N,)")
    wrong = np.flatnonzero(~((y >= 0) & (y < 2**31) & (y == np.floor(y))))  # a NaN fails every comparison
    if wrong.size:
        raise DataError(f"{path}: datum {wrong[0]} has label {y[wrong[0]]}; expected whole numbers from 0")
    return torch.from_numpy(x.reshape(len(x), math.prod(x.shape[1:])).astype(np.float64)), torch.from_numpy(
        y.astype(np.int64)
    )


_READERS = {"digits": digits, "mnist": torchvision_images, "fashion_mnist": torchvision_images, "npz": npz}


def select(selection: Selection, seed: int) -> tuple[Tensor, Tensor, int]:
    """Read a data set and take the part that is asked for.

    Args:
        selection: What to take.
        seed: Seed of the draw that `limit` makes.

    Returns:
        x, y and the number of classes.

    Raises:
        DataError: If a class is missing or nothing is left.
    """
    x, y = _READERS[selection.name](selection)
    if x.shape[0] != y.shape[0]:
        raise DataError(f"{selection.name}: {x.shape[0]} inputs but {y.shape[0]} labels")
    if selection.classes is not None:
        missing = [c for c in selection.classes if not bool((y == c).any())]
        if missing or not selection.classes:
            raise DataError(f"{selection.name}: has no datum of class {missing[0] if missing else '(empty list)'}")
        keep = torch.isin(y, torch.tensor(selection.classes))
        renumbered = torch.zeros_like(y)
        for number, label in enumerate(selection.classes):
            renumbered[y == label] = number
        x, y = x[keep], renumbered[keep]
    elif len(y) and int(y.max()) >= len(y):
        raise DataError(
            f"{selection.name}: datum {int(y.argmax())} has label {int(y.max())}, but there are only {len(y)} data; "
            "number the classes 0, 1, ... or name them in classes"
        )
    if selection.limit is not None and selection.limit < len(x):
        pick = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))[: selection.limit]
        x, y = x[pick], y[pick]
    classes = len(selection.classes) if selection.classes is not None else (int(y.max()) + 1 if len(y) else 0)
    return x, y, classes


def load_data(
    source: Selection,
    target: Selection | None,
    validation_fraction: float,
    seed: int,
    *,
    unit_interval: bool,
    like: Tensor,
    transport: Transport | None = None,
) -> Data:
    """Read source and target, split off the validation set, couple, check everything, and put it on the device.

    Args:
        source: Data at t = 0.
        target: Data at t = 1, or None.
        validation_fraction: Share of the source that is held out.
        seed: Seed of draws and splits.
        unit_interval: Whether x must lie in [0, 1].
        like: Tensor whose dtype and device the data get.
        transport: How the data of the source move to those of the target; None where they mix with them.

    Returns:
        The data.

    Raises:
        DataError: If anything is wrong with them.
    """
    x, y, classes = select(source, seed)
    x = x.to(like.dtype)  # before the check: a number may be too large for float32
    check_sample("data.source", x, y, classes, unit_interval=unit_interval)
    goal = None
    if target is not None:
        goal = select(target, seed)
        check_sample("data.target", goal[0].to(like.dtype), goal[1], goal[2], unit_interval=unit_interval)
        _check_fit(x, y, *goal[:2])
        classes = max(classes, goal[2])
    if classes < 2:
        raise DataError("data.source: only one class; a classification loss needs at least two")
    held_out = round(validation_fraction * len(x))
    if validation_fraction > 0 and not 0 < held_out < len(x):
        raise DataError(f"data.validation_fraction: {len(x)} data cannot be split so")
    order = (
        torch.randperm(len(x), generator=torch.Generator().manual_seed(seed + 1)) if held_out else torch.arange(len(x))
    )

    def sample(x: Tensor, y: Tensor) -> Sample:
        return Sample(x.to(like), y.to(like.device))

    training, held = order[held_out:], order[:held_out]
    data = Data(
        source=sample(x[training], y[training]),
        target=None if goal is None else sample(goal[0], goal[1]),
        validation=sample(x[held], y[held]) if held_out else None,
        classes=classes,
    )
    return data if transport is None or goal is None else _coupled(data, transport, like)


def _check_fit(x: Tensor, y: Tensor, goal_x: Tensor, goal_y: Tensor) -> None:
    """Refuse a target that one model cannot share with the source."""
    if goal_x.shape[1] != x.shape[1]:
        raise DataError(f"data.target: {goal_x.shape[1]} components per datum, but data.source has {x.shape[1]}")
    if not bool(torch.isin(y, goal_y).any()):
        raise DataError(
            f"data.target: has the labels {_labels(goal_y)} and data.source {_labels(y)}, none in common; name the "
            "classes of both, which renumbers them 0, 1, ... in the order given"
        )


def _coupled(data: Data, transport: Transport, like: Tensor) -> Data:
    """The data with the coupling of a file, or the optimal one."""
    assert data.target is not None
    if transport.file is not None:
        return replace(data, coupling=read_coupling(transport.file, len(data.source), len(data.target)).to(like))
    labels = None
    if transport.label_cost:
        labels = transport.label_cost * (data.source.y[:, None] != data.target.y).to(like.dtype)
    return replace(data, coupling=optimal_coupling(data.source.x, data.target.x, labels).to(like))


def _labels(y: Tensor) -> str:
    """The labels that occur, the first few of them."""
    found = y.unique().tolist()
    return ", ".join(map(str, found[:10])) + (", ..." if len(found) > 10 else "")

"""Labelled data (x_i, y_i): labels at hand, inputs on demand, so that only chosen data are decoded or converted."""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rdc_dyn.status import DataError

DataRows = Int[Tensor, "n"]


@dataclass(frozen=True)
class Source:
    """Where a reader may look.

    Attributes:
        folder: Folder of the scenario.
        root: Folder of data sets; None where none is named.
        download: Whether what is missing may be downloaded.
    """

    folder: Path
    root: Path | None = None
    download: bool = False


@dataclass(frozen=True)
class Labelled:
    """A data set of which only the labels have been read.

    Attributes:
        where: Its name in messages.
        shape: Shape of one x; (channel, height, width) for an image.
        inputs: Returns x of some rows in a floating-point type, flattened, on the CPU.
        names: Names of the classes, by label; empty if they have none.
        numbered: Whether a class may be given by its label.
    """

    where: str
    y: Int[Tensor, "N"]
    shape: tuple[int, ...]
    inputs: Callable[[DataRows, torch.dtype], Float[Tensor, "n d"]]
    names: tuple[str, ...] = ()
    numbered: bool = True

    def labels(self, classes: Sequence[int | str]) -> list[int]:
        """Labels of classes given by label or name; DataError if one is missing or given twice."""
        found = [self._label(one) for one in classes]
        for place, label in enumerate(found):
            if label in found[:place]:
                raise DataError(f"{self.where}: class {classes[place]} is given twice")
            if not bool((self.y == label).any()):
                raise DataError(f"{self.where}: has no datum of class {classes[place]}")
        return found

    def _label(self, one: int | str) -> int:
        if self.numbered and not isinstance(one, str):
            return one
        if str(one) in self.names:
            return self.names.index(str(one))
        if not self.names:
            raise DataError(f"{self.where}: has no class '{one}'; its classes are whole numbers")
        near = difflib.get_close_matches(str(one), self.names, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise DataError(f"{self.where}: has no class '{one}'; choose of: {listed(self.names)}{hint}")


def listed(words: Sequence[object]) -> str:
    """The first twenty words, separated by commas."""
    return ", ".join(map(str, words[:20])) + (", ..." if len(words) > 20 else "")


def unit_levels(levels: Int[Tensor, "n *s"], dtype: torch.dtype) -> Float[Tensor, "n d"]:
    """Grey values 0 to 255 scaled to [0, 1], flattened."""
    return levels.flatten(1).to(dtype).div_(255)

"""Readers of named data sets, one for each kind of file: labels are read at once, inputs on demand."""

from rdc_dyn.objective.readers.digits import read_digits
from rdc_dyn.objective.readers.image_folder import read_image_folder
from rdc_dyn.objective.readers.labelled import Labelled, Rows, Selection, listed
from rdc_dyn.objective.readers.npz import read_npz
from rdc_dyn.objective.readers.torchvision_sets import read_torchvision

__all__ = ["Labelled", "Rows", "Selection", "listed", "read"]

_READERS = {
    "digits": read_digits,
    "mnist": read_torchvision,
    "fashion_mnist": read_torchvision,
    "cifar10": read_torchvision,
    "image_folder": read_image_folder,
    "npz": read_npz,
}


def read(selection: Selection) -> Labelled:
    """Read a data set as far as its labels; each reader raises a DataError for what it refuses."""
    return _READERS[selection.name](selection)

"""HOW named data sets are read: a member for each kind of files, all of them by labels first and inputs on demand."""

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
    """Read a data set as far as its labels.

    Args:
        selection: Which, and where.

    Returns:
        All of its data; each member says what it refuses with a DataError.
    """
    return _READERS[selection.name](selection)

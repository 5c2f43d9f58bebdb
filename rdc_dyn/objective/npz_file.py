"""Named arrays of a NumPy file, or one line on why they cannot be had."""

from __future__ import annotations

import zlib
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from rdc_dyn.status import DataError

#: Largest array that is read.
_MAX_BYTES = 8 * 2**30


def read_arrays(path: Path, *names: str) -> list[np.ndarray]:
    """Read arrays of numbers.

    Args:
        path: An npz file.
        names: Names of the arrays.

    Returns:
        The arrays, of integer or floating-point type.

    Raises:
        DataError: If the file is not readable, an array is missing or holds no numbers.
    """
    wanted = f"array{'s' if len(names) > 1 else ''} {' and '.join(names)}"
    try:
        with np.load(path, allow_pickle=False) as file:
            if any(name not in file for name in names):
                raise DataError(f"{path}: holds {', '.join(file.files) or 'nothing'}; expected {wanted}")
            arrays = [file[name] for name in names]
    except (
        OSError,
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        EOFError,
        MemoryError,
        BadZipFile,
        zlib.error,
    ) as error:
        raise DataError(f"{path}: not a readable npz file ({error})") from None
    if any(array.dtype.kind not in "fiu" or array.nbytes > _MAX_BYTES for array in arrays):
        types = ", ".join(f"{name} has type {array.dtype}" for name, array in zip(names, arrays))
        raise DataError(f"{path}: {types}; expected numbers (at most 8 GB)")
    return arrays

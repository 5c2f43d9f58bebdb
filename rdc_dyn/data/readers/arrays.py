"""Reads arrays: those of a NumPy npz file, with labels or without, and the 1,797 8 x 8 digits of scikit-learn."""

import math
from pathlib import Path
from typing import IO
from zipfile import ZipFile, ZipInfo

import numpy as np
import torch
from numpy.lib import format as npy
from torch import Tensor

from rdc_dyn.data.readers.labelled import DataRows, Labelled
from rdc_dyn.status import DataError

#: Largest array that is read, in bytes.
_MAX_BYTES = 8 * 2**30
#: Bytes that any array may unpack to, and the most a larger one may grow (black images grow a thousandfold).
_SMALL, _GROWTH = 2**28, 100
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def read_arrays(path: Path, *names: str) -> list[np.ndarray]:
    """Read integer or floating-point arrays, checking headers before allocating; DataError if one cannot be read."""
    wanted = f"array{'s' if len(names) > 1 else ''} {' and '.join(names)}"
    if path.exists() and not path.is_file():
        raise DataError(f"{path}: not a readable npz file (it is no regular file)")
    try:
        with ZipFile(path) as file:
            members = {member.filename.removesuffix(".npy"): member for member in file.infolist()}
            if any(name not in members for name in names):
                raise DataError(f"{path}: holds {', '.join(members) or 'nothing'}; expected {wanted}")
            for name in names:
                with file.open(members[name]) as stream:
                    _require_numbers(path, name, stream, members[name])
            arrays = []
            for name in names:
                with file.open(members[name]) as stream:
                    arrays.append(npy.read_array(stream, allow_pickle=False))
            return arrays
    except DataError:
        raise
    except Exception as error:  # zipfile, zlib and NumPy raise a dozen kinds of errors on crafted files
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError(f"{path}: not a readable npz file ({reason})") from None


def _require_numbers(path: Path, name: str, stream: IO[bytes], member: ZipInfo) -> None:
    """Raise a DataError unless the array holds numbers and is no larger than its bytes in the file allow."""
    version = npy.read_magic(stream)
    if version not in _HEADERS:
        raise DataError(f"{path}: {name} is of version {version} of NumPy's format; expected one of numbers")
    shape, _, dtype = _HEADERS[version](stream)
    if dtype.kind not in "fiu":
        raise DataError(f"{path}: {name} has type {dtype}; expected numbers (at most 8 GB)")
    needed = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or needed > _MAX_BYTES:
        raise DataError(f"{path}: {name} has shape {shape}; expected numbers (at most 8 GB)")
    if needed > member.file_size or needed > max(_SMALL, _GROWTH * member.compress_size):
        raise DataError(f"{path}: {name} has shape {shape}, more than its {member.compress_size} bytes can hold")


_DTYPES = {torch.float32: np.float32, torch.float64: np.float64}


def read_npz(path: Path) -> Labelled:
    """Read x and y, or raise a DataError; one x is (channel, height, width), (height, width), or of any other shape."""
    x, y = read_arrays(path, "x", "y")
    if x.ndim < 2 or y.ndim != 1:
        raise DataError(f"{path}: x has shape {x.shape}, y has shape {y.shape}; expected (N, ...) and (N,)")
    if len(x) != len(y):
        raise DataError(f"{path}: {len(x)} inputs but {len(y)} labels")
    wrong = np.flatnonzero(~((y >= 0) & (y < 2**31) & (y == np.floor(y))))  # a NaN fails every comparison
    if wrong.size:
        raise DataError(f"{path}: datum {wrong[0]} has label {y[wrong[0]]}; expected whole numbers from 0")
    flat = x.reshape(len(x), int(np.prod(x.shape[1:])))

    def inputs(rows: DataRows, dtype: torch.dtype) -> Tensor:
        with np.errstate(over="ignore"):  # too large a number becomes infinite, which the check of the data reports
            return torch.from_numpy(flat[rows.numpy()].astype(_DTYPES[dtype], copy=False))

    shape = (1, *x.shape[1:]) if x.ndim == 3 else x.shape[1:]
    return Labelled("npz", torch.from_numpy(y.astype(np.int64)), shape, inputs)


def read_digits() -> Labelled:
    """Read all digits."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    grey = torch.from_numpy(x / 16.0)

    def inputs(rows: DataRows, dtype: torch.dtype) -> Tensor:
        return grey[rows].to(dtype)

    return Labelled("digits", torch.from_numpy(y.astype(np.int64)), (1, 8, 8), inputs)

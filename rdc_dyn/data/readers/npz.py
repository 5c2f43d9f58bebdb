"""Reads arrays x (data, ...) and y (labels) from a NumPy npz file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rdc_dyn.data.npz_file import read_arrays
from rdc_dyn.data.readers.labelled import Labelled, Rows
from rdc_dyn.status import DataError

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

    def inputs(rows: Rows, dtype: torch.dtype) -> Tensor:
        with np.errstate(over="ignore"):  # too large a number becomes infinite, which the check of the data reports
            return torch.from_numpy(flat[rows.numpy()].astype(_DTYPES[dtype], copy=False))

    shape = (1, *x.shape[1:]) if x.ndim == 3 else x.shape[1:]
    return Labelled("npz", torch.from_numpy(y.astype(np.int64)), shape, inputs)

"""Datasets as netCDF files: a checksum on every variable, atomic commits, reads within bounds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path

import numpy as np
import xarray as xr
from netCDF4 import Dataset as File
from xarray.backends.netCDF4_ import NETCDF4_PYTHON_LOCK

from rdc_dyn.status import DataError
from rdc_dyn.store.commit import commit, one_line

#: Limits on the unpacked size: bytes, and multiple of the file's size, as columns such as R and D hardly compress.
_BYTES, _GROWTH = 4 << 30, 100
#: Unpacked size in bytes that is allowed to any file, however small; largest number of variables, and of attributes.
_SMALL, _COUNT = 16 << 20, 1000


def write_netcdf(dataset: xr.Dataset, path: Path) -> str:
    """Commit a dataset with checksums, once it reads back identical, and return the SHA-256 of the file."""
    # Words are stored as characters, since variable-length strings take no checksum.
    packed = {"zlib": True, "complevel": 4, "fletcher32": True}
    encoding = {
        str(name): packed if variable.dtype.kind == "f" else {**packed, "dtype": "S1"}
        for name, variable in dataset.variables.items()
        if variable.dtype.kind in "fU" and variable.size and variable.ndim
    }

    def write(file: Path) -> None:
        try:
            dataset.to_netcdf(file, engine="netcdf4", format="NETCDF4", encoding=encoding)
        except RuntimeError as error:  # an error of HDF5, such as a full disk
            raise OSError(str(error)) from None
        try:
            with xr.open_dataset(file, engine="netcdf4") as written:
                same = written.load().identical(dataset)
        except (RuntimeError, ValueError) as error:
            raise OSError(f"does not read back: {error}") from None
        if not same:
            raise OSError("what was written differs from the trajectory")

    return commit(path, write)


@contextmanager
def opened(content: bytes, path: Path) -> Iterator[File]:
    """The untrusted netCDF file `path`, whose content is given; DataError if it is damaged or would unpack to too much.

    What the block raises is an error of the file, too.
    """
    try:
        with NETCDF4_PYTHON_LOCK, File("trajectory", memory=content) as file:  # HDF5 takes one thread at a time
            _require_bounds(path, file, len(content))
            file.set_auto_maskandscale(False)
            yield file
    except DataError:
        raise
    except MemoryError:
        raise DataError(f"{path}: not a readable trajectory (it does not fit into memory)") from None
    except Exception as error:  # netCDF4 raises a dozen kinds on crafted files
        raise DataError(f"{path}: not a readable trajectory ({one_line(error)})") from None


def _require_bounds(path: Path, file: File, size: int) -> None:
    """Raise DataError if a file would unpack to too much: in it, unlike in memory, dimensions and zeros are free."""
    allowed = min(_BYTES, max(_SMALL, _GROWTH * size))
    if len(file.variables) > _COUNT or len(file.ncattrs()) > _COUNT:
        raise DataError(f"{path}: not a trajectory of this program (more than {_COUNT} variables or attributes)")
    total = 0
    for variable in file.variables.values():
        plain = isinstance(variable.datatype, np.dtype) and variable.dtype.kind in "fiuSU"
        if not plain and variable.dtype is not str:
            raise DataError(f"{path}: not a trajectory of this program ({variable.name} is of a type of its own)")
        each = variable.dtype.itemsize if isinstance(variable.dtype, np.dtype) else 64
        total += prod(map(int, variable.shape)) * each
        if total > allowed:
            raise DataError(f"{path}: unpacks to more than {allowed / 1e6:.0f} MB, more than such a file can hold")

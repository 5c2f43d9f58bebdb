"""A dataset as a netCDF file: a checksum on every variable, committed whole, read back within bounds."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import xarray as xr
from netCDF4 import Dataset as File
from xarray.backends import NetCDF4DataStore

from rdc_dyn.output.commit import commit
from rdc_dyn.status import DataError

#: Most bytes that a file may unpack to, and most times that it may grow by it: columns such as R and D hardly shrink.
_BYTES, _GROWTH = 4 << 30, 100
#: Bytes that any file may unpack to, however small it is.
_SMALL = 16 << 20
#: Most variables, dimensions and attributes.
_COUNT = 1000


def write_netcdf(dataset: xr.Dataset, path: Path) -> str:
    """Write a dataset with checksums, read it back, and only then give it its name.

    Args:
        dataset: What to write.
        path: Final name.

    Returns:
        SHA-256 of the file.

    Raises:
        DataError: If the file cannot be written or does not read back as it was written.
    """
    # Words as characters, since strings of any length take no checksum.
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

    def check(file: Path) -> None:
        try:
            with xr.open_dataset(file, engine="netcdf4") as written:
                same = written.load().identical(dataset)
        except (RuntimeError, ValueError) as error:
            raise OSError(f"does not read back: {error}") from None
        if not same:
            raise OSError("what was written differs from the trajectory")

    return commit(path, write, check)


def read_netcdf(path: Path) -> xr.Dataset:
    """Read a file into memory, refused before anything of a size that it does not deserve is made.

    Args:
        path: A netCDF file, perhaps of a stranger.

    Returns:
        The dataset, in memory.

    Raises:
        DataError: If it is damaged, or too large for what it holds.
    """
    try:
        if not path.is_file():
            raise DataError(f"{path}: not a readable trajectory (no file there)")
        # One handle, closed here whatever happens: what xarray opens and cannot decode stays open.
        with File(str(path)) as file:
            _require_bounds(path, file)
            return xr.open_dataset(NetCDF4DataStore(file)).load()
    except DataError:
        raise
    except MemoryError:
        raise DataError(f"{path}: not a readable trajectory (it does not fit into memory)") from None
    except Exception as error:  # netCDF4 and xarray raise a dozen kinds on crafted files
        raise DataError(f"{path}: not a readable trajectory ({_one_line(error)})") from None


def _require_bounds(path: Path, file: File) -> None:
    """Dimensions are free of charge in a file, and zeros nearly so; arrays in memory are not.

    Raises:
        DataError: If the file would unpack to more than it can hold.
    """
    allowed = min(_BYTES, max(_SMALL, _GROWTH * os.path.getsize(path)))
    if len(file.variables) > _COUNT or len(file.ncattrs()) > _COUNT:
        raise DataError(f"{path}: not a trajectory of this program (more than {_COUNT} variables or attributes)")
    total = 0
    for variable in file.variables.values():
        plain = isinstance(variable.datatype, np.dtype) and variable.dtype.kind in "fiuSU"
        if not plain and variable.dtype is not str:
            raise DataError(f"{path}: not a trajectory of this program ({variable.name} is of a type of its own)")
        each = variable.dtype.itemsize if isinstance(variable.dtype, np.dtype) else 64
        count = 1
        for length in variable.shape:
            count *= int(length)
        total += count * each
        if total > allowed:
            raise DataError(f"{path}: unpacks to more than {allowed / 1e6:.0f} MB, more than such a file can hold")


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else text[:200] + " ..."

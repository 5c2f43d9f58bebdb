"""Records → `xarray.Dataset` → netCDF with checksums: the one module that knows the layout of a trajectory."""

from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from netCDF4 import Dataset as File
from xarray.backends.netCDF4_ import NETCDF4_PYTHON_LOCK

from rdc_dyn.record import CONTROLS, FUNCTIONALS, VARIABLES, Record, Variable
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


Columns = Mapping[str, np.ndarray]

TIME_ATTRS = {"long_name": "process clock", "units": "1", "axis": "T"}
CONVENTIONS = "CF-1.11"
#: Matrix variables of a trajectory; the standard errors are present only where M is an estimate.
MATRICES = {
    "response": Variable("response matrix d(R, D, C)/d(lam, gamma, t) along the equilibrium surface", "nat"),
    "response_error": Variable("standard error of the response matrix", "nat", True),
}
_KNOWN = VARIABLES | MATRICES
_WORDS = {"functional": FUNCTIONALS, "control": CONTROLS}
_UNKNOWN = ((float("nan"),) * 3,) * 3


def to_dataset(records: Sequence[Record], attributes: Mapping[str, str | int | float]) -> xr.Dataset:
    """Build the trajectory from records in clock order, of which there may be none.

    Its variables, all float64, are those of `VARIABLES` and of `MATRICES`; its attributes are as netCDF takes them.
    """
    return assembled(to_columns(records), {"Conventions": CONVENTIONS, **attributes})


def to_columns(records: Sequence[Record]) -> dict[str, np.ndarray]:
    """The columns of a trajectory by name."""
    found = set[str]().union(*(r.values for r in records))
    columns = {"time": np.array([r.time for r in records], dtype=np.float64)}
    columns |= {
        name: np.array([r.values.get(name, np.nan) for r in records], dtype=np.float64)
        for name, variable in VARIABLES.items()
        if not variable.optional or name in found
    }
    columns["response"] = _matrices([r.response for r in records])
    errors = [_UNKNOWN if r.response_error is None else r.response_error for r in records]
    if any(error is not _UNKNOWN for error in errors):
        columns["response_error"] = _matrices(errors)
    return columns


def _matrices(found: Sequence[Sequence[Sequence[float]]]) -> np.ndarray:
    """Stack one 3 × 3 matrix per point, time last."""
    return np.array(found, dtype=np.float64).reshape(-1, 3, 3).transpose(1, 2, 0)


def dims(name: str) -> tuple[str, ...]:
    """Dimensions of a variable."""
    return ("functional", "control", "time") if name in MATRICES else ("time",)


def metadata(name: str) -> dict[str, str]:
    """Attributes of a variable: its long name and its units."""
    return TIME_ATTRS if name == "time" else {"long_name": _KNOWN[name].long_name, "units": _KNOWN[name].units}


def assembled(columns: Columns, attributes: Mapping[str, Any]) -> xr.Dataset:
    """A trajectory from its columns by name, of which only the clock and the controls must be there."""
    variables = {name: xr.Variable(dims(name), column, metadata(name)) for name, column in columns.items()}
    coordinates = {name: variables.pop(name) for name in ("time", *CONTROLS)}
    words = {name: xr.Variable(name, list(values)) for name, values in _WORDS.items()}
    return xr.Dataset(variables, {**coordinates, **words}, dict(attributes))


def read_columns(
    content: bytes, file: Path, wanted: Container[str] | None = None
) -> tuple[dict[str, np.ndarray], dict[str, Any], tuple[str, ...]]:
    """The wanted columns of a `trajectory.nc`, or all, its attributes, and the names of all columns.

    Raises DataError if it is no trajectory, or a part of it is missing or malformed.
    """
    with opened(content, file) as found:
        attributes = {name: found.getncattr(name) for name in found.ncattrs()}
        names = tuple(name for name in ("time", *_KNOWN) if name in found.variables)
        wrong = _wrong_variables(found.variables) or wrong_attributes(attributes)
        if not wrong:
            chosen = [name for name in names if wanted is None or name in wanted]
            columns = {name: np.asarray(found[name][...], dtype=np.float64) for name in chosen}
    if wrong:
        raise DataError(f"{file}: not a trajectory of this program, {wrong}")
    return columns, attributes, names


def _wrong_variables(found: Mapping[str, Any]) -> str:
    """What is wrong with the variables of a netCDF file."""
    needed = ("time", *(name for name, v in VARIABLES.items() if not v.optional), "response", *_WORDS)
    missing = [name for name in needed if name not in found]
    if missing:
        return f"it lacks {', '.join(missing[:6])}" + ", ..." * (len(missing) > 6)
    for name, words in _WORDS.items():
        if [str(word) for word in np.ravel(found[name][...])] != list(words):
            return f"{name} is not {', '.join(words)}"
    for name in ("time", *_KNOWN):
        if name in found and (found[name].dimensions != dims(name) or found[name].dtype.kind != "f"):
            return f"{name} is {found[name].dtype}{found[name].dimensions}"
        units = metadata(name)["units"]
        told = found[name].getncattr("units") if name in found and "units" in found[name].ncattrs() else units
        if told != units:
            return f"{name} is in {str(told)[:20]} and not in {units}"
    return ""


def wrong_attributes(attributes: Mapping[Any, Any]) -> str:
    """What is wrong with the attributes of a trajectory; empty if nothing is."""
    if not isinstance(attributes.get("scenario"), str):
        return "it lacks the attribute scenario, or that is no text"
    if str(attributes.get("dtype", "float64")) not in ("float64", "float32"):  # of a stranger's file it may be an array
        return "its attribute dtype is neither float64 nor float32"
    kinds = (str, int, float, np.integer, np.floating)
    odd = [str(name)[:80] for name, value in attributes.items() if not isinstance(value, kinds)]
    return f"its attribute {odd[0]} is neither text nor a number" if odd else ""

"""All trajectories of a sweep as one lazy dataset over the swept keys and a common clock."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from rdc_dyn.record import CONTROLS, FUNCTIONALS
from rdc_dyn.status import DataError, UserError
from rdc_dyn.store.dataset import CONVENTIONS, TIME_ATTRS, dims, metadata
from rdc_dyn.store.lazy_run import LazyRun
from rdc_dyn.store.sweep_directory import LACKING, Sweep, SweptRun, coordinate, coordinate_names, read_sweep

#: Longest union of clocks that is used as it is.
MOST_TIMES = 1000
_ROUNDING = 1e-9


def choose_clock(clocks: Sequence[np.ndarray]) -> np.ndarray:
    """The longest clock if the others are prefixes of it, else the union of all, or `MOST_TIMES` equidistant times."""
    longest = max(clocks, key=len)
    if all(_is_beginning(clock, longest) for clock in clocks):
        return longest
    everything = np.sort(np.concatenate(list(clocks)))
    gap = _ROUNDING * (everything[-1] - everything[0])
    union = everything[np.concatenate([[True], np.diff(everything) > gap])]
    return union if union.size <= MOST_TIMES else np.linspace(union[0], union[-1], MOST_TIMES)


def on_clock(run: LazyRun, name: str, times: np.ndarray) -> np.ndarray:
    """A variable of a non-empty run on the common clock, time last, interpolated if need be; NaN outside its span."""
    own = run.read("time")
    if _is_beginning(own, times):
        values = run.read(name)
        missing = np.full((*values.shape[:-1], times.size - own.size), np.nan)
        return np.concatenate([values, missing], axis=-1)
    from rdc_dyn.read.identities import to_common_clock

    # The further variables tell branches apart, so that no spline runs across a jump or round a fold.
    part = run.dataset(name, "jump_theta", "morse_index")
    return to_common_clock(part, times)[name].transpose(*dims(name)).values


def _is_beginning(clock: np.ndarray, whole: np.ndarray) -> bool:
    """Whether a clock is a prefix of another, to rounding."""
    if clock.size > whole.size:
        return False
    span = abs(whole[-1] - whole[0]) or 1.0
    return bool(np.all(np.abs(clock - whole[: clock.size]) <= _ROUNDING * span))


#: Attributes of each run that become variables: words, and numbers with their long names.
_WORDS = ("device", "dtype", "versions", "commit", "scenario_sha256", "data_digest")
_NUMBERS = {"seed": "seed", "threads": "CPU threads", "parameters": "number of parameters"}

Cell = tuple[int, ...]


@dataclass(frozen=True)
class _Grid:
    """The dimensions that come from swept keys.

    Attributes:
        coordinates: A coordinate for each key, by name, with the key in its attributes.
        cells: The run at each index.
    """

    coordinates: dict[str, xr.Variable]
    cells: dict[Cell, SweptRun]

    @property
    def shape(self) -> Cell:
        """Lengths of the dimensions."""
        return tuple(len(values) for values in self.coordinates.values())

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of the dimensions."""
        return tuple(self.coordinates)


def open_sweep(path: str | os.PathLike[str], clock: Sequence[float] | np.ndarray | None = None) -> xr.Dataset:
    """Open all trajectories of a sweep as one lazy dataset.

    Args:
        path: A sweep directory.
        clock: Times of the common clock. None: the longest clock of a run if all others are prefixes of it, else the
            union of all clocks, or 1,000 equidistant times if the union has more.

    Returns:
        The trajectories, with the swept keys and `time` as dimensions; a variable of a run is read when it is computed.
        A dimension is a valid Python name, such as `integrator_method` for the key `integrator.method`, which is its
        attribute `scenario_key`; a key with the name of a variable, such as `response`, becomes `scenario_response`.
        The values of a key are numbers if all are, else words; runs without the key are at NaN or "". A run with
        another clock is interpolated by `to_common_clock`. Values are NaN at times that a run did not reach, and where
        there is no run. `status`, `status_message`, `run` and the provenance of each run are variables of the swept
        keys.

    Raises:
        UserError: If dask is missing.
        DataError: If `path` is no sweep directory, no run has recorded a point, two keys have the same name, two runs
            have the same values of the swept keys, or the runs come from different versions of the program.
    """
    try:
        import dask.array  # noqa: F401  # reported here, once, rather than by the first variable
    except ImportError:
        raise UserError("open_sweep needs dask: pip install 'dask[array]'") from None
    sweep = read_sweep(path)
    runs = [point.trajectory for point in sweep.points if point.trajectory is not None]
    if not any(run.points for run in runs):
        raise DataError(f"{sweep.path}: no run of this sweep has recorded a point yet")
    _same_program(sweep)
    first = runs[0]
    names = dict.fromkeys(name for run in runs for name in run.names if name != "time")
    grid = _grid(sweep, {*names, "time", "functional", "control"})
    times = choose_clock([run.read("time") for run in runs]) if clock is None else np.asarray(clock, dtype=np.float64)
    words = {
        "functional": xr.Variable("functional", list(FUNCTIONALS)),
        "control": xr.Variable("control", list(CONTROLS)),
    }
    variables = {name: _variable(name, grid, times) for name in names}
    coordinates = {**grid.coordinates, "time": xr.Variable("time", times, TIME_ATTRS), **words}
    coordinates |= {name: variables.pop(name) for name in CONTROLS}
    attributes = {"Conventions": CONVENTIONS, "title": str(first.attributes.get("title", "")), "source": sweep.program}
    return xr.Dataset(
        {**variables, **{name: told for name, told in _provenance(grid).items() if name not in grid.coordinates}},
        coordinates,
        {**attributes, "scenario": sweep.scenario, "swept": list(grid.dims)},
    )


def _same_program(sweep: Sweep) -> None:
    """Raise DataError if runs come from different versions or commits of the program."""
    made: dict[tuple[str, ...], str] = {}
    for point in sweep.points:
        if point.trajectory is not None:
            told = (str(point.trajectory.attributes.get(name)) for name in ("source", "commit", "source_digest"))
            made.setdefault(tuple(told), point.name)
    if len(made) > 1:
        two = " and ".join(
            f"{name} by {source} {c[:12]} (sources {d[:12]})" for (source, c, d), name in list(made.items())[:2]
        )
        raise DataError(f"{sweep.path}: runs of different program versions: {two}; run one of the two again")


def _grid(sweep: Sweep, taken: set[str]) -> _Grid:
    """Find the cell of each run; names of variables are taken."""
    try:
        names = coordinate_names(sweep.keys, taken)
    except UserError as error:
        raise DataError(f"{sweep.path}: {error}") from None
    axes = {key: _axis([point.values.get(key, LACKING) for point in sweep.points]) for key in sweep.keys}
    cells: dict[Cell, SweptRun] = {}
    for number, point in enumerate(sweep.points):
        cell = tuple(int(places[number]) for _, places in axes.values())
        if cell in cells:
            message = f"runs {cells[cell].name} and {point.name} have the same values of the swept keys"
            raise DataError(f"{sweep.path}: {message}; their scenarios differ elsewhere, keep them in two directories")
        cells[cell] = point
    attributes = {key: {"long_name": key, "scenario_key": key} for key in axes}
    return _Grid({names[k]: xr.Variable(names[k], axis, attributes[k]) for k, (axis, _) in axes.items()}, cells)


def _axis(values: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
    """The distinct values of a key, sorted if they are numbers, and the place of each run; runs without it are last."""
    each = coordinate(values)
    if each.dtype.kind in "if":
        return np.unique(each, return_inverse=True)
    words = sorted(dict.fromkeys(each.tolist()), key=lambda word: word == "")
    place = {word: number for number, word in enumerate(words)}
    return np.array(words, dtype=str), np.array([place[word] for word in each.tolist()])


def _variable(name: str, grid: _Grid, times: np.ndarray) -> xr.Variable:
    """A trajectory variable of all runs, as a dask array with one task per run."""
    import dask.array as da
    from dask.base import tokenize

    inner = (3,) * (len(dims(name)) - 1) + times.shape
    stamps = [(str(run.path), run.digest) for run in _runs(grid)]
    label = f"rdc-{name}-{tokenize(name, stamps, times)}"
    tail = (0,) * len(inner)
    block = (1,) * len(grid.shape) + inner
    graph = {}
    for cell in np.ndindex(*grid.shape):
        point = grid.cells.get(cell)
        graph[label, *cell, *tail] = (_block, None if point is None else point.trajectory, name, times, block)
    chunks = tuple((1,) * length for length in grid.shape) + tuple((length,) for length in inner)
    array = da.Array(graph, label, chunks, dtype=np.float64)
    return xr.Variable(grid.dims + dims(name), array, metadata(name))


def _block(run: LazyRun | None, name: str, times: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The body of a task: one variable of one run on the common clock."""
    if run is None or name not in run.names or not run.points:
        return np.full(shape, np.nan)
    return on_clock(run, name, times).reshape(shape)


def _runs(grid: _Grid) -> Iterable[LazyRun]:
    return (point.trajectory for point in grid.cells.values() if point.trajectory is not None)


def _provenance(grid: _Grid) -> dict[str, xr.Variable]:
    """Outcome and provenance of each run, as variables of the swept keys."""

    def variable(long_name: str, of: Mapping[Cell, str | float], units: str = "") -> xr.Variable:
        """Words where no unit is given, else numbers."""
        values = np.full(grid.shape, np.nan if units else "", dtype=object)
        for cell, value in of.items():
            values[cell] = value
        attributes = {"long_name": long_name} | ({"units": units} if units else {})
        return xr.Variable(grid.dims, values.astype(np.float64 if units else str), attributes)

    runs = {cell: point.trajectory for cell, point in grid.cells.items() if point.trajectory is not None}
    wall = {cell: run.read("wall_time")[-1:] for cell, run in runs.items()}
    return {
        "run": variable("name of the run, its folder in runs/", {c: p.name for c, p in grid.cells.items()}),
        "status": variable("how the run ended", {c: p.status for c, p in grid.cells.items()}),
        "status_message": variable("the same in words", {c: p.message for c, p in grid.cells.items()}),
        **{name: variable(name, {c: str(r.attributes.get(name, "")) for c, r in runs.items()}) for name in _WORDS},
        **{
            name: variable(text, {c: float(r.attributes.get(name, np.nan)) for c, r in runs.items()}, "1")
            for name, text in _NUMBERS.items()
        },
        "run_wall_time": variable(
            "wall time of the run until its last point", {c: float(t[-1]) for c, t in wall.items() if t.size}, "s"
        ),
        "points": variable("recorded points", {c: float(run.points) for c, run in runs.items()}, "1"),
    }

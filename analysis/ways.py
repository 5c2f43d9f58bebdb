"""Runs of two ways along the same paths, this project's and the paper's, and what is measured of their trajectories."""

from __future__ import annotations

import argparse
import io
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import numpy as np
import xarray as xr
from ruamel.yaml import YAML

import rdc_dyn  # registers ds.rdc

#: In place of a path: this was not run.
NOTHING = "-"
#: Keys of `process` that say how folds are met, which is a matter of the way and not of the path.
_METHOD = ("on_fold", "look_ahead")
#: A data position from which on the data are the target, to the rounding of float32.
ARRIVED = 1 - 1e-6
_T = TypeVar("_T")


@dataclass(frozen=True)
class Run:
    """A run, also one that left no point: then it has no trajectory."""

    status: str
    trajectory: xr.Dataset | None


#: The runs of one way by label; none where the way was not run.
Way = Mapping[str, Run]
#: A series along a run, and a number of a run.
Series = Callable[[xr.Dataset], xr.DataArray]
Number = Callable[[xr.Dataset], float]


def fail(message: str, code: int) -> NoReturn:
    """End with a sentence and an exit code of the command line: 2 for usage, 4 for data."""
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(code)


def arguments(description: str, *names: str, option: tuple[str, str] | None = None) -> argparse.Namespace:
    """The command line of a script: places by name, in lower case, the last of them a table."""
    parser = argparse.ArgumentParser(description=description)
    for name in names:
        parser.add_argument(name.lower(), metavar=name)
    if option is not None:
        parser.add_argument(option[0], metavar="SWEEP", help=option[1])
    given = parser.parse_args()
    if Path(given.table).suffix not in (".csv", ".md"):
        parser.error(f"TABLE: {given.table!r}; expected a name that ends in .csv or .md")
    return given


def opened(reader: Callable[[str | Path], _T], path: str | Path) -> _T:
    """What a reader of rdc_dyn gives; what is wrong is said in one line."""
    try:
        return reader(path)
    except rdc_dyn.UserError as error:
        fail(str(error), error.exit_code)


def read_run(path: str, label: str) -> Way:
    """One run as a way; "-" is none."""
    return {} if path == NOTHING else {label: _run(opened(rdc_dyn.open_run, path))}


def read_sweep(path: str) -> Way:
    """The runs of a sweep over start.gamma from the smallest on, each on its own clock; "-" is none."""
    if path == NOTHING:
        return {}
    grid, key = opened(rdc_dyn.open_sweep, path), "start_gamma"
    swept = [name for name in np.atleast_1d(grid.attrs["swept"]) if grid.sizes[name] > 1 or name == key]
    if swept != [key]:
        told = ", ".join(grid[name].attrs["scenario_key"] for name in np.atleast_1d(grid.attrs["swept"]))
        fail(f"{path}: swept over {told}; expected start.gamma alone", 2)
    runs = {}
    for gamma in grid[key].values:
        one = grid[["run", "status"]].sel({key: gamma}).squeeze(drop=True)
        folder = Path(path) / "runs" / one.run.item()
        found = opened(rdc_dyn.open_run, folder) if folder.is_dir() else None
        runs[f"gamma0 = {gamma:g}"] = Run(one.status.item(), None) if found is None else _run(found)
    return runs


def _run(trajectory: xr.Dataset) -> Run:
    return Run(str(trajectory.attrs["status"]), trajectory if trajectory.sizes["time"] else None)


def trajectories(way: Way, points: int = 1) -> dict[str, xr.Dataset]:
    """Those runs that have at least so many points."""
    found = {label: run.trajectory for label, run in way.items() if run.trajectory is not None}
    return {label: ds for label, ds in found.items() if ds.sizes["time"] >= points}


def scenario(ds: xr.Dataset) -> dict[str, Any]:
    """The resolved scenario of a run."""
    return dict(YAML(typ="safe").load(io.StringIO(ds.attrs["scenario"])))


def problem(ds: xr.Dataset) -> dict[str, Any]:
    """What must be equal for two runs to follow the same path on the same surface."""
    text = scenario(ds)
    path = {key: value for key, value in text["process"].items() if key not in _METHOD}
    alike = {"data": ds.attrs["data_digest"], "number format": ds.attrs["dtype"], "path": path}
    return alike | {name: text[name] for name in ("objective", "start", "seed")}


def data_count(ds: xr.Dataset) -> str:
    """How many data J is a sum over, source and target together."""
    found = re.search(r"A from \d+ of (\d+) data", str(ds.attrs.get("approximations", "")))
    return found[1] if found else str(ds.attrs.get("curvature_data", "not known"))


# %% Series along a run


def variable(name: str) -> Series:
    """A variable of the trajectory, on the training data where it is a loss."""
    return lambda ds: ds[name].reset_coords(drop=True)


def held_out(name: str) -> Series:
    """A variable on held-out data, where data stand at t; on the training data where nothing is held out."""
    return lambda ds: ds.get(f"validation_{name}", ds[name]).reset_coords(drop=True)


def on_target(name: str) -> Series:
    """A variable on held-out data of the target; without them as `held_out`, but only where the data are the target."""

    def series(ds: xr.Dataset) -> xr.DataArray:
        if f"validation_target_{name}" in ds:
            return ds[f"validation_target_{name}"].reset_coords(drop=True)
        moves = scenario(ds)["data"].get("target") is not None
        there = ds.data_position.reset_coords(drop=True) >= ARRIVED
        return held_out(name)(ds).where(there if moves else True)

    return series


def stored(ds: xr.Dataset) -> xr.DataArray:
    """R + Ω, Ω the weight penalty: the first law at constant C is dR + dΩ = −λ dD."""
    return (ds.rate + ds.weight_penalty).reset_coords(drop=True)


def so_far(*counters: str) -> Series:
    """Counters less their values at the start: the start's own cost is not the path's."""
    return lambda ds: sum((ds[c] - ds[c][0] for c in counters), start=xr.zeros_like(ds.rate)).reset_coords(drop=True)


#: A Hessian-vector product counts as a gradient.
gradient_equivalents = so_far("gradient_evaluations", "hessian_vector_products")
seconds = so_far("wall_time")


def change(series: Series) -> Series:
    """|v − v₀| / |v₀|."""
    return lambda ds: abs(series(ds) / series(ds)[0] - 1)


# %% Numbers of a run


def largest(series: Series) -> Number:
    """The largest value along a run."""
    return lambda ds: float(series(ds).max())


def last(series: Series) -> Number:
    """The value at the last point."""
    return lambda ds: float(series(ds)[-1])


def spread(series: Series) -> Number:
    """Largest less smallest value along a run."""
    return lambda ds: float(series(ds).max() - series(ds).min())


def slope(y: str, x: str) -> Number:
    """Δy/Δx from the first to the last point."""
    return lambda ds: float((ds[y][-1] - ds[y][0]) / (ds[x][-1] - ds[x][0])) if ds.sizes["time"] > 1 else float("nan")


def closure(ds: xr.Dataset) -> float:
    """max |F − F₀ − ∫ D dλ + C dγ + ∂_tF dt| / max |F − F₀|; NaN where the run knows no response."""
    moved = float(abs(ds.free_energy - ds.free_energy[0]).max())
    return float(abs(ds.rdc.free_energy_closure()).max()) / moved if moved else float("nan")


def straightness(ds: xr.Dataset) -> float:
    """Largest distance of (R, D) from its chord, over the chord's length."""
    return float(ds.rdc.geodesic_straightness())


def jumps(ds: xr.Dataset) -> float:
    """How often the run relaxed onto another branch of equilibria."""
    return float((ds.jump_theta.fillna(0) != 0).sum()) if "jump_theta" in ds else 0.0

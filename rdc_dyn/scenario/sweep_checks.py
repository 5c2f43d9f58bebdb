"""Check of the form of the section `sweep`; its values are checked when each point is validated."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rdc_dyn.scenario.mistakes import Finding, Path, show
from rdc_dyn.scenario.tree import Tree

#: Keys that cannot be swept, and why.
_NOT_SWEPT = {"sweep": "a sweep has no sweeps", "name": "points are named by a hash; sweep what makes them differ"}


def sweep_form(tree: Tree) -> Iterator[Finding]:
    """Check that `sweep` is a grid or a list of grids."""
    grids = tree.get("sweep")
    if isinstance(grids, list) and grids:
        for index, grid in enumerate(grids):
            yield from _grid(grid, ("sweep", index))
    elif grids is not None:
        yield from _grid(grids, ("sweep",))


def _grid(grid: Any, path: Path) -> Iterator[Finding]:
    if not isinstance(grid, dict) or not grid:
        yield Finding(path, f"expected a section of dotted keys, each with a list of values, got {show(grid)}")
        return
    for key, values in grid.items():
        if key.partition(".")[0] in _NOT_SWEPT:
            yield Finding((*path, key), f"not swept: {_NOT_SWEPT[key.partition('.')[0]]}", at_key=True)
        elif not isinstance(values, list) or not values:
            yield Finding((*path, key), f"expected a list of values, such as [0.1, 0.05], got {show(values)}")

"""Grids of scenario keys, from the command line, from the section `sweep`, or from Python, and their points."""

import hashlib
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rdc_dyn import scenario as scenarios
from rdc_dyn.scenario import Document, Mistake, Scenario, ScenarioError
from rdc_dyn.scenario.document import parse
from rdc_dyn.scenario.scenario import sweep_form
from rdc_dyn.scenario.sources import pinned
from rdc_dyn.status import UserError

#: Most points of a sweep.
MOST_POINTS = 10_000
#: A list, range or NumPy array of values for each key; every combination is a point.
Grid = Mapping[str, Any]


@dataclass(frozen=True)
class Grids:
    """What is swept: the union of `grids`.

    Attributes:
        origin: What messages call an assignment: `--grid` or `sweep`.
    """

    grids: tuple[Grid, ...]
    origin: str

    @property
    def keys(self) -> tuple[str, ...]:
        """All swept keys, in order of first appearance."""
        return tuple(dict.fromkeys(key for grid in self.grids for key in grid))

    def assignments(self) -> list[dict[str, Any]]:
        """The values of each point by key, with the last key changing fastest; UserError if there are too many."""
        count = sum(math.prod(map(len, grid.values())) for grid in self.grids)
        if count > MOST_POINTS:
            raise UserError(f"{self.origin}: {count} points; expected at most {MOST_POINTS}, so sweep fewer values")
        return [
            dict(zip(grid, values))
            for grid in self.grids
            for values in itertools.product(*(list(values) for values in grid.values()))
        ]


def overrides(assignment: Mapping[str, Any]) -> list[str]:
    """Write an assignment as `key=value` overrides, a section before the keys inside it; the values are JSON."""
    ordered = sorted(assignment, key=lambda key: key.count("."))
    return [f"{key}={json.dumps(assignment[key])}" for key in ordered]


def command_line_grid(arguments: Sequence[str]) -> Grids | None:
    """Read `--grid key=v1,v2` arguments, whose values are YAML scalars or flow collections, as one grid.

    Returns None if there is no argument; raises ScenarioError with every argument that is not a list of values.
    """
    grid: dict[str, list[Any]] = {}
    problems: list[Mistake] = []
    for argument in arguments:
        key, _, text = argument.partition("=")
        key, where = key.strip(), f"--grid {argument}"
        if not key or not text.strip():
            problems.append(Mistake(where, "", "expected key=value,value with a dotted key"))
        elif key in grid:
            problems.append(Mistake(where, key, "given twice; write all its values in one --grid"))
        else:
            grid[key], found = _values(text, where)
            problems += found
    for finding in sweep_form({"sweep": dict(grid)}) if grid else ():
        problems.append(Mistake(f"--grid {finding.path[-1]}", str(finding.path[-1]), finding.message))
    if problems:
        raise ScenarioError(problems)
    return Grids((grid,), "--grid") if grid else None


def _values(text: str, where: str) -> tuple[list[Any], list[Mistake]]:
    """Read comma-separated values, and list what is wrong with them."""
    try:
        read = parse(f"[{text}]", where)
    except ScenarioError as error:
        return [0], [Mistake(where, "", problem.message) for problem in error.problems]
    return read.tree, [Mistake(where, "", mistake.message) for _, mistake in read.mistakes]


def choose_grids(document: Document, given: Grid | Sequence[Grid] | Grids | None) -> Grids:
    """Take the grids that are given, or else those of the scenario's section `sweep`.

    Raises ScenarioError if they are malformed, and UserError if there is nothing to sweep.
    """
    if isinstance(given, Grids):
        return given
    section = document.tree.get("sweep") if given is None else given
    if section is None:
        raise UserError("nothing to sweep: give --grid KEY=VALUE,VALUE, or the scenario a section sweep")
    plain = [_lists(grid) for grid in section] if isinstance(section, (list, tuple)) else _lists(section)
    findings = list(sweep_form({"sweep": plain}))
    if findings and given is None:
        raise ScenarioError(mistake for _, mistake in sorted(map(document.mistake, findings), key=lambda p: p[0]))
    if findings:
        raise ScenarioError(Mistake("grid", ".".join(map(str, f.path[1:])), f.message) for f in findings)
    return Grids(tuple(plain) if isinstance(plain, list) else (plain,), "sweep")


def _lists(grid: Any) -> Any:
    """Turn the sequences of a grid into lists, and NumPy's numbers into Python's; only a mapping is changed."""
    if not isinstance(grid, Mapping):
        return grid
    return {str(key): _plain(values) for key, values in grid.items()}


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):  # NumPy's numbers and arrays
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple, range)) else value


_HEX_DIGITS = 12


@dataclass(frozen=True)
class GridPoint:
    """One run of a sweep.

    Attributes:
        name: The first digits of the SHA-256 of `text`.
        values: Values of the swept keys in the resolved scenario; keys that it lacks are left out.
        scenario: Resolved, without relative paths, with the digests of the files that make its modules.
        text: The same as YAML.
    """

    name: str
    values: Mapping[str, Any]
    scenario: Scenario
    text: str


def resolve_points(document: Document, grids: Grids, folder: Path) -> list[GridPoint]:
    """Validate every point, and return each distinct one once.

    The grids may supply what the scenario lacks, and its relative paths start from `folder`. Raises ScenarioError with
    every mistake of any point.
    """
    points: dict[str, GridPoint] = {}
    problems: dict[Mistake, None] = {}
    for assignment in grids.assignments():
        try:
            # The last override makes the point a scenario of a single run.
            edited = scenarios.apply_overrides(document, [*overrides(assignment), "sweep=null"], grids.origin)
            resolved = pinned(scenarios.absolute(scenarios.resolve(edited), folder), edited)
        except ScenarioError as error:
            problems.update(dict.fromkeys(error.problems))
            continue
        point = _point(resolved, grids.keys)
        points.setdefault(point.name, point)
    if problems:
        raise ScenarioError(problems)
    return list(points.values())


def _point(resolved: Scenario, keys: tuple[str, ...]) -> GridPoint:
    text = scenarios.dump(resolved)
    tree = resolved.model_dump(mode="json", by_alias=True)
    values = {key: value for key in keys if (value := _value_at(tree, key)) is not _ABSENT}
    return GridPoint(hashlib.sha256(text.encode()).hexdigest()[:_HEX_DIGITS], values, resolved, text)


_ABSENT = object()


def _value_at(tree: Any, key: str) -> Any:
    for part in key.split("."):
        if isinstance(tree, dict) and part in tree:
            tree = tree[part]
        elif isinstance(tree, list) and part.isdigit() and int(part) < len(tree):
            tree = tree[int(part)]
        else:
            return _ABSENT
    return tree

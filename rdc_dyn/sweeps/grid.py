"""Grids of scenario keys: from the command line, from the section `sweep`, or from Python."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rdc_dyn.scenario import Document, Problem, ScenarioError
from rdc_dyn.scenario.document import parse
from rdc_dyn.scenario.sweep_checks import sweep_form
from rdc_dyn.status import UserError

#: Values of keys, every combination of which is a point; a list, a range, or a NumPy array for each.
Grid = Mapping[str, Any]


@dataclass(frozen=True)
class Grids:
    """What is swept.

    Attributes:
        grids: Their union is the sweep.
        origin: What messages call an assignment: `--grid` or `sweep`.
    """

    grids: tuple[Grid, ...]
    origin: str

    @property
    def keys(self) -> tuple[str, ...]:
        """All swept keys, in the order in which they first appear."""
        return tuple(dict.fromkeys(key for grid in self.grids for key in grid))

    def assignments(self) -> list[dict[str, Any]]:
        """List the combinations, the last key changing fastest.

        Returns:
            The values of each point, by key.
        """
        return [
            dict(zip(grid, values))
            for grid in self.grids
            for values in itertools.product(*(list(values) for values in grid.values()))
        ]


def overrides(assignment: Mapping[str, Any]) -> list[str]:
    """Write an assignment as overrides; a section goes before the keys inside it.

    Args:
        assignment: Values by dotted key.

    Returns:
        `key=value` each, the value in brackets where it is a list or section (JSON is YAML in brackets).
    """
    ordered = sorted(assignment, key=lambda key: key.count("."))
    return [f"{key}={json.dumps(assignment[key])}" for key in ordered]


def command_line_grid(arguments: Sequence[str]) -> Grids | None:
    """Read `--grid key=v1,v2`, each value YAML in brackets or a scalar; together they are one grid.

    Args:
        arguments: What stood behind each `--grid`.

    Returns:
        The grid, or None where there was no argument.

    Raises:
        ScenarioError: With every argument that is no list of values.
    """
    grid: dict[str, list[Any]] = {}
    problems: list[Problem] = []
    for argument in arguments:
        key, _, text = argument.partition("=")
        key, where = key.strip(), f"--grid {argument}"
        if not key or not text.strip():
            problems.append(Problem(where, "", "expected key=value,value with a dotted key"))
        elif key in grid:
            problems.append(Problem(where, key, "given twice; write all its values in one --grid"))
        else:
            grid[key], found = _values(text, where)
            problems += found
    problems += [Problem(f"--grid {key}", key, message) for key, message in _form(grid)]
    if problems:
        raise ScenarioError(problems)
    return Grids((grid,), "--grid") if grid else None


def _values(text: str, where: str) -> tuple[list[Any], list[Problem]]:
    """Read values between commas.

    Returns:
        The values, and what is wrong with them.
    """
    try:
        read = parse(f"[{text}]", where)
    except ScenarioError as error:
        return [0], [Problem(where, "", problem.message) for problem in error.problems]
    return read.tree, [Problem(where, "", problem.message) for _, problem in read.problems]


def _form(grid: Grid) -> list[tuple[str, str]]:
    return [(str(finding.path[-1]), finding.message) for finding in sweep_form({"sweep": dict(grid)}) if grid]


def choose_grids(document: Document, given: Grid | Sequence[Grid] | Grids | None) -> Grids:
    """Take the grids that are given, else those of the scenario.

    Args:
        document: The scenario; its section `sweep` may be missing.
        given: A grid, several, or None.

    Returns:
        What to sweep.

    Raises:
        ScenarioError: Its section or what is given is not of that form.
        UserError: There is nothing to sweep.
    """
    if isinstance(given, Grids):
        return given
    section = document.tree.get("sweep") if given is None else given
    if section is None:
        raise UserError("nothing to sweep: give --grid KEY=VALUE,VALUE, or the scenario a section sweep")
    plain = [_lists(grid) for grid in section] if isinstance(section, (list, tuple)) else _lists(section)
    findings = list(sweep_form({"sweep": plain}))
    if findings and given is None:
        raise ScenarioError(problem for _, problem in sorted(map(document.problem, findings), key=lambda p: p[0]))
    if findings:
        raise ScenarioError(Problem("grid", ".".join(map(str, f.path[1:])), f.message) for f in findings)
    return Grids(tuple(plain) if isinstance(plain, list) else (plain,), "sweep")


def _lists(grid: Any) -> Any:
    """Take any sequence of values for a list.

    Returns:
        The same with lists, and Python's own numbers in place of NumPy's.
    """
    if not isinstance(grid, Mapping):
        return grid
    listed = {key: _plain(values) for key, values in grid.items()}
    return {str(key): values for key, values in listed.items()}


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):  # NumPy's numbers and arrays
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple, range)) else value

"""The points of a sweep: resolved scenarios, named by a hash."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rdc_dyn import scenario as scenarios
from rdc_dyn.scenario import Document, Mistake, Scenario, ScenarioError
from rdc_dyn.scenario.sources import pinned
from rdc_dyn.sweeps.grid import Grids, overrides

_HEX_DIGITS = 12


@dataclass(frozen=True)
class Point:
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


def resolve_points(document: Document, grids: Grids, folder: Path) -> list[Point]:
    """Validate every point, and return each distinct one once.

    The grids may supply what the scenario lacks, and its relative paths start from `folder`. Raises ScenarioError with
    every mistake of any point.
    """
    points: dict[str, Point] = {}
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


def _point(resolved: Scenario, keys: tuple[str, ...]) -> Point:
    text = scenarios.dump(resolved)
    tree = resolved.model_dump(mode="json", by_alias=True)
    values = {key: value for key in keys if (value := _value_at(tree, key)) is not _ABSENT}
    return Point(hashlib.sha256(text.encode()).hexdigest()[:_HEX_DIGITS], values, resolved, text)


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

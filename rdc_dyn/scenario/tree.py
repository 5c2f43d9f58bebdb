"""Read values of a scenario as written, before anything is known about their types."""

from __future__ import annotations

import math
from typing import Any

Tree = dict[str, Any]


def section(tree: Any, *keys: str | int) -> Tree:
    """The section under the given keys; empty if there is none."""
    for key in keys:
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree if isinstance(tree, dict) else {}


def number(value: Any) -> float | None:
    """The value as a finite float; None if it is not a number or does not fit."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None

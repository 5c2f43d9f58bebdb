"""Values of a scenario as it is written, of which nothing is known yet."""

from __future__ import annotations

import math
from typing import Any

Tree = dict[str, Any]


def section(tree: Any, *keys: str) -> Tree:
    """Read a section.

    Args:
        tree: The scenario, or what stands in its place.
        keys: Where in it.

    Returns:
        The section; an empty one where there is none.
    """
    for key in keys:
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree if isinstance(tree, dict) else {}


def number(value: Any) -> float | None:
    """Read a number.

    Args:
        value: Anything.

    Returns:
        The number; None for anything else and for what does not fit into a finite float.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None

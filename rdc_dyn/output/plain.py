"""Values as JSON can represent them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def encode(value: Any) -> Any:
    """NaN → None and ±∞ → text, since JSON has neither; finite floats survive JSON exactly."""
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    if isinstance(value, Mapping):
        return {k: encode(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [encode(v) for v in value]
    return value

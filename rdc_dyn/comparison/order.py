"""ln error = p ln h + const: the observed order of a series, with the 95 % confidence of Student's t."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Order:
    """An observed order.

    Attributes:
        value: p; NaN from fewer than two points.
        low: Lower end of its 95 % confidence; NaN from fewer than three points.
        high: Upper end.
        points: Number of points that it is from.
    """

    value: float
    low: float
    high: float
    points: int


def observed_order(resolution: np.ndarray, error: np.ndarray) -> Order:
    """Least squares of ln error on ln resolution.

    Args:
        resolution: Step sizes or tolerances.
        error: Of the runs; points without a positive finite error are left out.

    Returns:
        The slope with its confidence.
    """
    use = np.isfinite(error) & (error > 0) & np.isfinite(resolution)
    x, y = np.log(resolution[use]), np.log(error[use])
    count = int(use.sum())
    if np.unique(x).size < 2:
        return Order(math.nan, math.nan, math.nan, count)
    centred = x - x.mean()
    spread = float(centred @ centred)
    slope = float(centred @ y) / spread
    if count < 3:
        return Order(slope, math.nan, math.nan, count)
    from scipy.stats import t

    left = y - y.mean() - slope * centred
    half = float(t.ppf(0.975, count - 2)) * math.sqrt(float(left @ left) / (count - 2) / spread)
    return Order(slope, slope - half, slope + half, count)

"""Observed order p of a series, from ln error = p ln h + const, with a 95 % confidence interval by Student's t."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Order:
    """An observed order with its 95 % confidence interval.

    Attributes:
        value: The order p; NaN from fewer than two points.
        low: Lower end of the interval; NaN from fewer than three points.
        high: Upper end of the interval; likewise.
        points: Number of points in the fit.
    """

    value: float
    low: float
    high: float
    points: int


def observed_order(resolution: np.ndarray, error: np.ndarray) -> Order:
    """Least squares of ln error on ln resolution; points without a positive finite error are left out."""
    use = np.isfinite(error) & (error > 0) & np.isfinite(resolution)
    x, y = np.log(resolution[use]), np.log(error[use])
    count = int(use.sum())
    if np.unique(x).size < 2:
        return Order(math.nan, math.nan, math.nan, count)
    from scipy.stats import linregress, t

    fit = linregress(x, y)
    half = float(t.ppf(0.975, count - 2) * fit.stderr) if count > 2 else math.nan
    return Order(float(fit.slope), float(fit.slope) - half, float(fit.slope) + half, count)

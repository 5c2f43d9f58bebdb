"""Γ = argmin Σ_ij Γ_ij (|x_i − x'_j|² + κ [y_i ≠ y'_j]) with uniform marginals: which datum becomes which."""

from __future__ import annotations

import hashlib
import math
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from rdc_dyn.objective.npz_file import read_arrays
from rdc_dyn.status import DataError

#: Largest cost matrix; the solver needs several times as much.
_MAX_BYTES = 2 * 2**30
#: Most pivots of the network simplex method.
_MAX_PIVOTS = 100_000_000
#: Largest error of a row or column sum of a coupling that a user brings.
_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Coupling:
    """The pairs (i, j) with Γ_ij > 0, ordered by i, then j.

    Attributes:
        source: i, shape (p,).
        target: j, shape (p,).
        weights: Γ_ij, which sum to one, shape (p,).
    """

    source: Int[Tensor, "p"]
    target: Int[Tensor, "p"]
    weights: Float[Tensor, "p"]

    def to(self, like: Tensor) -> Coupling:
        """The same on the device of `like`, weights in its dtype."""
        return Coupling(self.source.to(like.device), self.target.to(like.device), self.weights.to(like))

    def digest(self) -> str:
        """SHA-256 of pairs and weights (as float64)."""
        content = hashlib.sha256()
        for part in (self.source, self.target, self.weights.double()):
            content.update(part.cpu().contiguous().numpy().tobytes())
        return content.hexdigest()


def optimal_coupling(
    source: Float[Tensor, "N n"], target: Float[Tensor, "M n"], labels: Float[Tensor, "N M"] | None = None
) -> Coupling:
    """An exact optimal plan by the network simplex method (Bonneel et al. 2011, as POT has it); deterministic.

    Args:
        source: x of the source.
        target: x' of the target.
        labels: What pairing two labels costs, κ where they differ; None is nothing.

    Returns:
        The plan, at most N + M − 1 pairs; a permutation where N = M.

    Raises:
        DataError: If the problem is too large, or its solution was not found.
    """
    rows, columns = len(source), len(target)
    if 8 * rows * columns > _MAX_BYTES:
        raise DataError(
            f"data.path: an optimal plan between {rows} and {columns} data needs a cost matrix of "
            f"{8 * rows * columns / 2**30:.1f} GB, more than {_MAX_BYTES / 2**30:g}; set limit of data.source and "
            "data.target"
        )
    import ot

    # Whole numbers as marginals: every flow is one too, and there are no pairs that only rounding makes.
    unit = math.gcd(rows, columns)
    cost = ot.dist(source.cpu().double().numpy(), target.cpu().double().numpy(), metric="sqeuclidean")
    if labels is not None:
        cost = cost + labels.cpu().double().numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is wrong is raised below
        supply, demand = np.full(rows, columns / unit), np.full(columns, rows / unit)
        plan, log = ot.emd(supply, demand, cost, numItermax=_MAX_PIVOTS, log=True)
    if log["warning"] is not None:
        raise DataError(f"data.path: no optimal plan was found ({log['warning']}); set limit, or give data.coupling")
    return _sparse(plan / (rows * columns / unit))


def read_coupling(path: Path, rows: int, columns: int) -> Coupling:
    """A user's own coupling: row i of the array `coupling` is the distribution of the targets of datum i.

    Args:
        path: An npz file.
        rows: Number N of source data.
        columns: Number M of target data.

    Returns:
        The coupling; Γ is the array divided by N.

    Raises:
        DataError: If the array is no such thing.
    """
    (array,) = read_arrays(path, "coupling")
    if array.shape != (rows, columns):
        raise DataError(
            f"{path}: coupling has shape {array.shape}; expected ({rows}, {columns}), source data by target data"
        )
    array = array.astype(np.float64)
    wrong = np.argwhere(~(np.isfinite(array) & (array >= 0)))
    if len(wrong):
        i, j = wrong[0]
        raise DataError(f"{path}: coupling has {array[i, j]} in row {i}, column {j}; expected finite numbers >= 0")
    for axis, name, expected in ((1, "row", 1.0), (0, "column", rows / columns)):
        sums = array.sum(axis)
        off = np.flatnonzero(abs(sums - expected) > _TOLERANCE * max(1.0, expected))
        if len(off):
            raise DataError(
                f"{path}: {name} {off[0]} of coupling sums to {sums[off[0]]:.12g}; every {name} must sum to "
                f"{expected:.12g}"
            )
    return _sparse(array / rows)


def _sparse(plan: np.ndarray) -> Coupling:
    i, j = np.nonzero(plan)
    return Coupling(*(torch.from_numpy(part.copy()) for part in (i, j, plan[i, j])))

"""Γ = argmin Σ_ij Γ_ij (|x_i − x'_j|² + κ [y_i ≠ y'_j]) with uniform marginals: couplings of source and target data."""

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

from rdc_dyn.data.readers.arrays import read_arrays
from rdc_dyn.status import DataError

#: Largest cost matrix in bytes; the solver needs several times as much memory.
_MAX_BYTES = 2 * 2**30
#: Maximum number of pivots of the network simplex method.
_MAX_PIVOTS = 100_000_000
#: Tolerance on the row and column sums of a user's coupling.
_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Coupling:
    """The pairs (i, j) with Γ_ij > 0, ordered by i, then j, and their weights Γ_ij, which sum to one."""

    source: Int[Tensor, "p"]
    target: Int[Tensor, "p"]
    weights: Float[Tensor, "p"]

    def to(self, like: Tensor) -> Coupling:
        """Move to the device of `like`, with weights in its dtype."""
        return Coupling(self.source.to(like.device), self.target.to(like.device), self.weights.to(like))

    def digest(self) -> str:
        """SHA-256 of the pairs and their weights (as float64)."""
        content = hashlib.sha256()
        for part in (self.source, self.target, self.weights.double()):
            content.update(part.cpu().contiguous().numpy().tobytes())
        return content.hexdigest()


def optimal_coupling(
    source: Float[Tensor, "N n"], target: Float[Tensor, "M n"], labels: Float[Tensor, "N M"] | None = None
) -> Coupling:
    """An exact optimal plan by the network simplex method (Bonneel et al. 2011, as implemented in POT); deterministic.

    `labels` is an additional cost of each pair. The plan has at most N + M − 1 pairs and is a permutation if N = M.
    DataError is raised if the problem is too large or no solution is found.
    """
    rows, columns = len(source), len(target)
    require_plan(rows, columns)
    import ot

    # With integer marginals every flow is an integer, so no pair owes a positive weight to rounding.
    unit = math.gcd(rows, columns)
    cost = ot.dist(source.cpu().double().numpy(), target.cpu().double().numpy(), metric="sqeuclidean")
    if labels is not None:
        cost = cost + labels.cpu().double().numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # failures are raised below
        supply, demand = np.full(rows, columns / unit), np.full(columns, rows / unit)
        plan, log = ot.emd(supply, demand, cost, numItermax=_MAX_PIVOTS, log=True)
    if log["warning"] is not None:
        raise DataError(f"data.path: no optimal plan was found ({log['warning']}); set limit, or give data.coupling")
    return _sparse(plan / (rows * columns / unit))


def require_plan(rows: int, columns: int) -> None:
    """Raise a DataError where an optimal plan would take too much memory."""
    if 8 * rows * columns > _MAX_BYTES:
        raise DataError(
            f"data.path: an optimal plan between {rows} and {columns} data needs a cost matrix of "
            f"{8 * rows * columns / 2**30:.1f} GB, more than {_MAX_BYTES / 2**30:g}; set limit of data.source and "
            "data.target"
        )


def read_coupling(path: Path, rows: int, columns: int) -> Coupling:
    """Read a user's coupling: row i of the array `coupling` is the distribution of the targets of datum i.

    The array has shape (rows, columns) and is Γ times the number of rows. DataError is raised if its shape, its entries
    or its row and column sums are wrong.
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

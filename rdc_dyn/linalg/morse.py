"""λ_min(A) = min_v vᵀAv / |v|², and the Morse index: what kind of stationary point θ is."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from rdc_dyn.linalg.base import Rows, SymmetricOperator
from rdc_dyn.linalg.factorisation import materialise
from rdc_dyn.linalg.preconditioner import Preconditioner
from rdc_dyn.linalg.ritz import RitzPair, largest_ratio

#: Up to this size of A all eigenvalues are computed, and the Morse index with them.
SMALL = 300
#: Limit on the products of a search for the smallest eigenvalue of a larger A.
SEARCH = 100


@dataclass(frozen=True)
class Spectrum:
    """The low end of the spectrum of A, without the zero modes of its symmetries.

    Attributes:
        smallest: Smallest eigenvalue; an upper bound on it where `morse_index` is None, NaN if the search did not
            settle.
        morse_index: Number of negative eigenvalues, or None where A is too large to count them.
    """

    smallest: float
    morse_index: int | None


def spectrum(a: SymmetricOperator, preconditioner: Preconditioner, seed: int = 0) -> Spectrum:
    """The smallest eigenvalue of A, and its Morse index where A is small; `preconditioner` approximates |A|⁻¹."""
    if a.size <= SMALL:
        return dense_spectrum(materialise(a), a.kernel)
    pair = softest(a, preconditioner, seed)
    return Spectrum(pair.value if pair.converged else torch.nan, None)


def softest(a: SymmetricOperator, preconditioner: Preconditioner, seed: int = 0) -> RitzPair:
    """The smallest eigenvalue of A and its unit eigenvector, as far as a search of `SEARCH` products finds them.

    The value is an upper bound on the eigenvalue; `preconditioner` approximates |A|⁻¹.
    """
    preconditioner.prepare(a)
    start = torch.randn(4, a.size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    pair = largest_ratio(
        lambda rows: -a.mm(rows), lambda rows: rows, a.kernel, preconditioner, start.to(a.kernel), max_iterations=SEARCH
    )
    return replace(pair, value=-pair.value)


def dense_spectrum(matrix: torch.Tensor, kernel: Rows) -> Spectrum:
    """The spectrum from a matrix made by `materialise`, in which zero modes have a positive eigenvalue."""
    values = torch.linalg.eigvalsh(matrix)
    zero = torch.finfo(values.dtype).eps * len(values) * float(values.abs().max())
    if kernel.shape[0]:
        shift = float((kernel[0] @ matrix @ kernel[0]) / kernel[0].square().sum())
        order = (values - shift).abs().argsort()
        values = values[order[kernel.shape[0] :].sort().values]
    smallest = float(values[0]) if len(values) else torch.nan
    return Spectrum(smallest, int((values < -zero).sum()))

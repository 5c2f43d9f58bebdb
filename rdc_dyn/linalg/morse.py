"""λ_min(A) = min_v vᵀAv / |v|², and the Morse index: what kind of stationary point θ is."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from rdc_dyn.linalg.base import Rows, SymmetricOperator
from rdc_dyn.linalg.factorisation import materialise
from rdc_dyn.linalg.preconditioner import Preconditioner
from rdc_dyn.linalg.ritz import RitzPair, largest_ratio

#: Up to this size all eigenvalues are computed, and the Morse index with them.
SMALL = 300
#: Most products of a search for the smallest eigenvalue of a larger one.
SEARCH = 100


@dataclass(frozen=True)
class Spectrum:
    """The low end of the spectrum of A, zero modes of symmetries left out.

    Attributes:
        smallest: Smallest eigenvalue, an upper bound of it where `morse_index` is None; NaN if it did not settle.
        morse_index: Number of negative eigenvalues, or None where A is too large to count them.
    """

    smallest: float
    morse_index: int | None


def spectrum(a: SymmetricOperator, preconditioner: Preconditioner, seed: int = 0) -> Spectrum:
    """The smallest eigenvalue of A, and the Morse index where A is small.

    Args:
        a: A.
        preconditioner: An approximate inverse of |A|.
        seed: Seed of the vectors from which the search begins.

    Returns:
        The spectrum.

    Raises:
        NumericalFailure: NON_FINITE if a product is not finite.
    """
    if a.size <= SMALL:
        return dense_spectrum(materialise(a), a.kernel)
    pair = softest(a, preconditioner, seed)
    return Spectrum(pair.value if pair.converged else torch.nan, None)


def softest(a: SymmetricOperator, preconditioner: Preconditioner, seed: int = 0) -> RitzPair:
    """The smallest eigenvalue of A and its vector, as far as a search of `SEARCH` products finds them.

    Args:
        a: A.
        preconditioner: An approximate inverse of |A|.
        seed: Seed of the vectors from which the search begins.

    Returns:
        An upper bound of the eigenvalue, with its vector of length one.

    Raises:
        NumericalFailure: NON_FINITE if a product is not finite.
    """
    preconditioner.prepare(a)
    start = torch.randn(4, a.size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    pair = largest_ratio(
        lambda rows: -a.mm(rows), lambda rows: rows, a.kernel, preconditioner, start.to(a.kernel), max_iterations=SEARCH
    )
    return replace(pair, value=-pair.value)


def dense_spectrum(matrix: torch.Tensor, kernel: Rows) -> Spectrum:
    """The same from a matrix that `materialise` made, in which zero modes have a positive eigenvalue.

    Args:
        matrix: A, shape (P, P).
        kernel: Its zero modes.

    Returns:
        The spectrum.
    """
    values = torch.linalg.eigvalsh(matrix)
    zero = torch.finfo(values.dtype).eps * len(values) * float(values.abs().max())
    if kernel.shape[0]:
        shift = float((kernel[0] @ matrix @ kernel[0]) / kernel[0].square().sum())
        order = (values - shift).abs().argsort()
        values = values[order[kernel.shape[0] :].sort().values]
    smallest = float(values[0]) if len(values) else torch.nan
    return Spectrum(smallest, int((values < -zero).sum()))

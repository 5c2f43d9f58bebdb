"""max_v vᵀBv / vᵀAv by locally optimal preconditioned CG (Knyazev 2001), λ_min(A) by it, and the Morse index."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from rdc_dyn.linalg.base import Rows, SymmetricOperator, Vector, project_out
from rdc_dyn.linalg.factorisation import materialise
from rdc_dyn.linalg.preconditioner import Preconditioner
from rdc_dyn.status import NumericalFailure, Status

#: v → Av for each row v.
Products = Callable[[Rows], Rows]


@dataclass(frozen=True)
class RitzPair:
    """Result of `largest_ratio`.

    Attributes:
        value: vᵀBv / vᵀAv, a lower bound on the maximum.
        vector: v, with vᵀAv = 1.
        converged: Whether the value has settled to the tolerance.
    """

    value: float
    vector: Vector
    converged: bool


def largest_ratio(
    b: Products,
    a: Products,
    kernel: Rows,
    preconditioner: Preconditioner,
    start: Rows,
    *,
    rtol: float = 1e-3,
    max_iterations: int = 40,
) -> RitzPair:
    """Maximise the Rayleigh quotient of the pencil (B, A) over vectors orthogonal to the zero modes in `kernel`.

    `b` and `a` apply B and A to rows; A must be positive definite on the complement of the zero modes, and
    `preconditioner`, an approximate inverse of A, prepared. The span of the rows of `start` is searched first. The
    value has settled when an iteration, which takes one product with each of A and B, changes it by at most `rtol`.
    Raises INDEFINITE if vᵀAv is negative in the search, SINGULAR if it vanishes, and NON_FINITE if a product is not
    finite.
    """
    basis = project_out(kernel, start)
    basis = basis[basis.norm(dim=1) > 0]
    products = _products(b, a, basis, kernel)
    value, settled = -torch.inf, False
    x, bx, ax, direction = _rayleigh_ritz(basis, *products)
    for _ in range(max_iterations):
        ratio = float(torch.dot(x, bx))
        settled = abs(ratio - value) <= rtol * abs(ratio)
        value = ratio
        w = preconditioner.apply(project_out(kernel, bx - ratio * ax))
        if settled or not bool(w.any()):
            settled = True
            break
        basis = torch.stack([x, w]) if direction is None else torch.stack([x, w, direction[0]])
        fresh = _products(b, a, w[None], kernel)
        known = [torch.stack([bx]), torch.stack([ax])]
        if direction is not None:
            known = [torch.cat([k, d[None]]) for k, d in zip(known, direction[1:])]
        b_basis, a_basis = (torch.cat([k[:1], f, k[1:]]) for k, f in zip(known, fresh))
        x, bx, ax, direction = _rayleigh_ritz(basis, b_basis, a_basis)
    return RitzPair(value, x, settled)


def _products(b: Products, a: Products, rows: Rows, kernel: Rows) -> tuple[Rows, Rows]:
    products = project_out(kernel, b(rows)), project_out(kernel, a(rows))
    if not all(bool(torch.isfinite(p).all()) for p in products):
        raise NumericalFailure(Status.NON_FINITE, "derivatives of A")
    return products


def _rayleigh_ritz(
    basis: Rows, b_basis: Rows, a_basis: Rows
) -> tuple[Vector, Vector, Vector, tuple[Vector, Vector, Vector] | None]:
    """The best vector x of the span with Bx and Ax, and its part outside the first basis vector."""
    scale = basis.norm(dim=1, keepdim=True)
    basis, b_basis, a_basis = basis / scale, b_basis / scale, a_basis / scale
    gram = basis @ a_basis.T
    sizes, vectors = torch.linalg.eigh(0.5 * (gram + gram.T))
    rounding = 1e2 * torch.finfo(gram.dtype).eps * float(sizes.abs().max())
    if float(sizes[0]) < -rounding:
        raise NumericalFailure(Status.INDEFINITE, f"v.Av = {float(sizes[0]):.3g}")
    live = sizes > rounding  # nearly parallel vectors make the Gram matrix singular to rounding
    if not bool(live.any()):
        raise NumericalFailure(Status.SINGULAR)
    to_orthonormal = vectors[:, live] / sizes[live].sqrt()
    inner = to_orthonormal.T @ (basis @ b_basis.T) @ to_orthonormal
    _, ritz = torch.linalg.eigh(0.5 * (inner + inner.T))
    coordinates = to_orthonormal @ ritz[:, -1]
    outside = coordinates.clone()
    outside[0] = 0.0
    direction = None
    if bool(outside.any()):
        direction = (outside @ basis, outside @ b_basis, outside @ a_basis)
    return coordinates @ basis, coordinates @ b_basis, coordinates @ a_basis, direction


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

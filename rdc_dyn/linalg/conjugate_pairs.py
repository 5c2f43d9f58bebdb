"""(s, y = A s) with sᵢ·yⱼ = δᵢⱼ: those pairs of a Krylov space that M knows least, by Ritz values of MA."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from rdc_dyn.linalg.base import Rows


@dataclass(frozen=True)
class ConjugatePairs:
    """Pairs of one A, conjugate to each other.

    Attributes:
        s: Directions, shape (m, P).
        y: A s, shape (m, P).
        scale: γ for which the Ritz values of γMA lie about 1.
    """

    s: Rows
    y: Rows
    scale: float

    @classmethod
    def of(cls, s: Rows, y: Rows, m: Callable[[Rows], Rows], limit: int) -> ConjugatePairs | None:
        """Conjugate the span of given pairs and keep the part that γM treats worst.

        In the span, (yᵀMy) / (sᵀy) is stationary at the Ritz values θ of MA in the inner product of A. Directions with
        γθ far from 1 on a logarithmic scale are what delays conjugate gradients with M.

        Args:
            s: Directions, shape (n, P).
            y: A s, shape (n, P).
            m: v → Mv for each row.
            limit: Most pairs to keep.

        Returns:
            The pairs, or None where A is not safely positive on any direction of the span.
        """
        basis = _conjugate(s, y)
        if basis.shape[1] == 0:
            return None
        inner = basis.T @ small(y @ m(y).T) @ basis
        if not bool(torch.isfinite(inner).all()):
            return None
        values, vectors = torch.linalg.eigh(0.5 * (inner + inner.T))
        logs = values.clamp_min(torch.finfo(values.dtype).tiny).log()
        centre = float(logs.median())
        kept = (logs - centre).abs().argsort(descending=True, stable=True)[:limit]
        coordinates = (basis @ vectors[:, kept]).T.to(s)
        return cls(coordinates @ s, coordinates @ y, float(torch.tensor(-centre).exp()))


def small(matrix: Tensor) -> Tensor:
    """A matrix of the size of a block, where its algebra costs least and is safest: in float64 on the CPU."""
    return matrix.detach().to("cpu", torch.float64)


def _conjugate(s: Rows, y: Rows) -> Tensor:
    """Columns c with (cᵀs)·(c'ᵀy) = δ on the part of the span where A is safely positive, shape (n, r)."""
    eps = torch.finfo(s.dtype).eps
    tolerance = eps**0.5
    gram = small(s @ y.T)
    gram = 0.5 * (gram + gram.T)
    length, image = small(s.norm(dim=1)), small(y.norm(dim=1))
    curvature = gram.diagonal().abs()
    # A s is known to eps |A| |s|, so that curvature below eps |A| |s|² is none.
    rounding = 10 * eps * (image / length).nan_to_num(0.0).max() * length.square()
    live = torch.isfinite(curvature) & (curvature > rounding)
    sizes = torch.maximum(curvature, tolerance * length * image).sqrt()
    inverse = torch.where(live, 1.0 / sizes, 0.0)
    scaled = torch.where(live[:, None] & live, inverse[:, None] * gram * inverse, 0.0)
    values, vectors = torch.linalg.eigh(scaled)
    safe = values > tolerance * values.abs().max()
    return inverse[:, None] * vectors[:, safe] / values[safe].sqrt()

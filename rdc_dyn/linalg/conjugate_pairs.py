"""Pairs (s, y = A s) with sᵢ·yⱼ = δᵢⱼ: the part of a Krylov space that M inverts worst, by Ritz values of MA."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from rdc_dyn.linalg.base import Rows


@dataclass(frozen=True)
class ConjugatePairs:
    """Mutually conjugate pairs (s, y = A s) of one matrix A.

    Attributes:
        scale: γ that brings the median Ritz value of γMA to 1.
    """

    s: Rows
    y: Rows
    scale: float

    @classmethod
    def of(cls, s: Rows, y: Rows, m: Callable[[Rows], Rows], limit: int) -> ConjugatePairs | None:
        """Conjugate the span of the given pairs and keep the `limit` directions that γM treats worst.

        In the span, (yᵀMy) / (sᵀy) is stationary at the Ritz values θ of MA in the inner product of A. Directions with
        γθ far from 1 on a logarithmic scale are what delays conjugate gradients preconditioned by M. None is returned
        where A is not safely positive in any direction of the span.
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
    """A block-sized matrix in float64 on the CPU, where its algebra is cheapest and safest."""
    return matrix.detach().to("cpu", torch.float64)


def _conjugate(s: Rows, y: Rows) -> Tensor:
    """Columns c with (cᵀs)·(c'ᵀy) = δ on the part of the span where A is safely positive, shape (n, r)."""
    eps = torch.finfo(s.dtype).eps
    tolerance = eps**0.5
    gram = small(s @ y.T)
    gram = 0.5 * (gram + gram.T)
    length, image = small(s.norm(dim=1)), small(y.norm(dim=1))
    curvature = gram.diagonal().abs()
    # A s is accurate to eps |A| |s|, so curvature below eps |A| |s|² cannot be told from zero.
    rounding = 10 * eps * (image / length).nan_to_num(0.0).max() * length.square()
    live = torch.isfinite(curvature) & (curvature > rounding)
    sizes = torch.maximum(curvature, tolerance * length * image).sqrt()
    inverse = torch.where(live, 1.0 / sizes, 0.0)
    scaled = torch.where(live[:, None] & live, inverse[:, None] * gram * inverse, 0.0)
    values, vectors = torch.linalg.eigh(scaled)
    safe = values > tolerance * values.abs().max()
    return inverse[:, None] * vectors[:, safe] / values[safe].sqrt()

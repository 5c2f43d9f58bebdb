"""H = Vᵀ γM V + S R⁻ᵀ D R⁻¹ Sᵀ, V = I − Y R⁻¹ Sᵀ: limited-memory BFGS (Nocedal 1980), and its pairs (s, y)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from rdc_dyn.linalg.base import Rows, Vector


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


@dataclass(frozen=True)
class LimitedMemory:
    """M updated by the secant equations H yᵢ = sᵢ, oldest first; the last holds exactly, for conjugate pairs all do.

    The compact form of Byrd, Nocedal & Schnabel (1994, eq. 2.6) is applied factor by factor. So H stays a sum of
    squares whatever the rounding, unlike in their form with one middle matrix.

    Attributes:
        scale: γ.
        inverse: R⁻¹, where R is the upper triangle of s·yᵀ.
        diagonal: D = diag(s·y).
    """

    s: Rows
    y: Rows
    scale: float
    inverse: Tensor
    diagonal: Tensor

    @classmethod
    def of(cls, s: Rows, y: Rows, scale: float) -> LimitedMemory:
        """Prepare the small matrices for pairs with s·y > 0, oldest first."""
        triangle = small(s @ y.T).triu()
        eye = torch.eye(len(triangle), dtype=triangle.dtype)
        inverse = torch.linalg.solve_triangular(triangle, eye, upper=True)
        return cls(s, y, scale, inverse.to(s), triangle.diagonal().to(s))

    def after(self, s: Vector, y: Vector, limit: int) -> LimitedMemory:
        """The update with one more pair, s·y > 0, and without the oldest pair if that makes more than `limit`."""
        kept = slice(max(0, len(self.s) + 1 - limit), None)
        old, inverse, product = self.s[kept], self.inverse[kept, kept], torch.dot(s, y)
        column = -(inverse @ (old @ y)) / product
        bottom = torch.cat([torch.zeros_like(column), 1 / product[None]])
        return LimitedMemory(
            torch.cat([old, s[None]]),
            torch.cat([self.y[kept], y[None]]),
            self.scale,
            torch.cat([torch.cat([inverse, column[:, None]], dim=1), bottom[None]]),
            torch.cat([self.diagonal[kept], product[None]]),
        )

    def apply(self, m: Callable[[Rows], Rows], rows: Rows) -> Rows:
        """H v for each row v, where `m` applies M to each row."""
        inner = (rows @ self.s.T) @ self.inverse.T
        image = self.scale * m(rows - inner @ self.y)
        outer = (inner * self.diagonal - image @ self.y.T) @ self.inverse
        return image + outer @ self.s

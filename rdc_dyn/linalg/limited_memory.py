"""H = Vᵀ γM V + S R⁻ᵀ D R⁻¹ Sᵀ, V = I − Y R⁻¹ Sᵀ: the limited-memory BFGS inverse (Nocedal 1980) in compact form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from rdc_dyn.linalg.base import Rows, Vector
from rdc_dyn.linalg.conjugate_pairs import small


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

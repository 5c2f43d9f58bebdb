"""A ≈ K = ⊕ᵢ Gᵢ ⊗ Aᵢ + shift I, taken as diagonal in the eigenbasis of K except for a dense core of large entries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rdc_dyn.linalg.base import Rows, Vector
from rdc_dyn.status import NumericalFailure, Status


@dataclass(frozen=True)
class Block:
    """G ⊗ A on the entries of v that form an m x n matrix V: V → G V A, with G = L Γ Lᵀ and A = R Α Rᵀ.

    Attributes:
        places: Where the entries of V lie in v, each place once.
        left: L, with the eigenvectors of G in columns.
        right: R, with the eigenvectors of A in columns.
        spectrum: Γᵢ Αⱼ.
    """

    places: Int[Tensor, "m n"]
    left: Float[Tensor, "m m"]
    right: Float[Tensor, "n n"]
    spectrum: Float[Tensor, "m n"]

    @classmethod
    def of(cls, places: Int[Tensor, "m n"], g: Float[Tensor, "m m"], a: Float[Tensor, "n n"]) -> Block:
        """Diagonalise positive semidefinite G and A; eigenvalues that rounding makes negative count as zero.

        Raises NON_FINITE if a factor is not finite.
        """
        if not bool(torch.isfinite(g).all() and torch.isfinite(a).all()):
            raise NumericalFailure(Status.NON_FINITE, "Kronecker factors")
        sizes, left = torch.linalg.eigh(g)
        weights, right = torch.linalg.eigh(a)
        return cls(places, left, right, sizes.clamp_min(0.0)[:, None] * weights.clamp_min(0.0))

    def turned(self, rows: Rows) -> Float[Tensor, "k m*n"]:
        """LᵀVR for the V of each row."""
        return (self.left.T @ rows[:, self.places] @ self.right).flatten(1)

    def back(self, coordinates: Float[Tensor, "k m*n"]) -> Float[Tensor, "k m n"]:
        """L C Rᵀ for the C of each row."""
        return self.left @ coordinates.view(-1, *self.places.shape) @ self.right.T


@dataclass(frozen=True)
class Core:
    """The dense inverse on some coordinates of the eigenbasis, couplings between blocks included.

    Attributes:
        chosen: Indices of these coordinates, counted through all blocks.
        inverse: (QᵀAQ)⁻¹, positive definite.
    """

    chosen: Int[Tensor, "r"]
    inverse: Float[Tensor, "r r"]

    @classmethod
    def of(cls, chosen: Int[Tensor, "r"], matrix: Float[Tensor, "r r"], shift: float) -> Core:
        """Invert `matrix` + shift I, where `matrix` is QᵀAQ without its shift; NON_FINITE if it is not finite."""
        if not bool(torch.isfinite(matrix).all()):
            raise NumericalFailure(Status.NON_FINITE, "core of a Kronecker approximation")
        lift = len(matrix) * ground(shift, matrix.diagonal()) if shift <= 0 else shift
        factor = torch.linalg.cholesky(matrix + lift * torch.eye(len(matrix)).to(matrix))
        return cls(chosen, torch.cholesky_inverse(factor))


@dataclass(frozen=True)
class Kronecker:
    """M: 1 / (Γᵢ Αⱼ + shift) in the eigenbasis, a dense core on some of it, and a diagonal outside all blocks.

    Attributes:
        blocks: Blocks that share no place.
        diagonal: A diagonal of length P, used only where no block lies.
        shift: Multiple of the identity in A₀; replaced by the rounding error of a spectrum where that is larger.
    """

    blocks: Sequence[Block]
    diagonal: Vector
    shift: float
    core: Core | None = None
    most_negative = None

    @cached_property
    def spectrum(self) -> Vector:
        """Γᵢ Αⱼ of all blocks, one after the other."""
        return torch.cat([block.spectrum.flatten() for block in self.blocks])

    @cached_property
    def _inverse(self) -> Vector:
        return 1.0 / (self.spectrum + ground(self.shift, self.spectrum))

    @cached_property
    def _rest(self) -> Vector:
        return 1.0 / (self.diagonal + ground(self.shift, self.diagonal))

    def apply(self, rows: Rows) -> Rows:
        """M v for each row v."""
        turned = torch.cat([block.turned(rows) for block in self.blocks], dim=1)
        coordinates = turned * self._inverse
        if self.core is not None:
            coordinates[:, self.core.chosen] = turned[:, self.core.chosen] @ self.core.inverse
        image = rows * self._rest
        for block, part in zip(self.blocks, coordinates.split([b.places.numel() for b in self.blocks], dim=1)):
            image[:, block.places] = block.back(part)
        return image


def ground(shift: float, spectrum: Tensor) -> float:
    """The shift, or the rounding error of the spectrum where that is larger; never zero."""
    limits = torch.finfo(spectrum.dtype)
    return max(shift, limits.eps * float(spectrum.max()), limits.tiny)

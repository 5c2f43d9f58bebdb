"""A₀ ≈ U Λ Uᵀ + shift I by random products: the Nyström preconditioner of Frangella, Tropp & Udell (2023)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from rdc_dyn.linalg.base import Rows, SymmetricOperator, chunked, project_out


@dataclass(frozen=True)
class LowRank:
    """M = U (Λ + μ)⁻¹ Uᵀ + (I − U Uᵀ) / (λ_r + μ), with the smallest kept eigenvalue λ_r for all that U misses.

    This is the preconditioner (5.3) of Frangella et al. times 1 / (λ_r + μ), so that M approximates the inverse in
    scale too.

    Attributes:
        vectors: Uᵀ, as orthonormal rows.
        inverse: 1 / (Λ + μ), shape (r,).
        rest: 1 / (λ_r + μ).
    """

    vectors: Rows
    inverse: Tensor
    rest: float
    most_negative = None

    def apply(self, rows: Rows) -> Rows:
        """M v for each row v."""
        return self.rest * rows + ((rows @ self.vectors.T) * (self.inverse - self.rest)) @ self.vectors


@dataclass(frozen=True)
class Nystrom:
    """Recipe that learns the large eigenvalues of A₀ from its products with random vectors.

    Attributes:
        rank: Number of products.
        shift: Multiple of the identity that A₀ is known to contain, such as the precision of a weight prior. The low
            rank is spent on the rest of A₀.
        damping: Multiple of the identity added to A₀, as to A.
        seed: Seed of the random vectors; the same seed gives the same M to the last bit.
    """

    rank: int
    shift: float = 0.0
    damping: float = 0.0
    seed: int = 0
    spectral = False

    def products(self, size: int) -> int:
        """The rank, or P if that is smaller."""
        return min(self.rank, size)

    def build(self, operator: SymmetricOperator) -> LowRank:
        """Approximate H = A₀ − shift I by (HΩ) |ΩᵀHΩ|⁻¹ (HΩ)ᵀ, from one pass of products with an orthonormal Ω.

        The absolute values of the core's eigenvalues keep M positive definite where A₀ is not.
        """
        probes = self._probes(operator)
        images = project_out(operator.kernel, chunked(operator, probes)) - self.shift * probes
        tiny = torch.finfo(images.dtype).tiny
        # The shift nu of Frangella et al. keeps the core of a low-rank H regular; it is subtracted again from sigma².
        nu = torch.finfo(images.dtype).eps * max(float(torch.linalg.matrix_norm(images)), tiny)
        images = images + nu * probes
        core = probes @ images.T
        values, vectors = torch.linalg.eigh(0.5 * (core + core.T))
        values = values.abs().clamp_min(nu)
        _, sigma, rows = torch.linalg.svd((vectors.T @ images) / values.sqrt()[:, None], full_matrices=False)
        eigenvalues = (sigma.square() - nu).clamp_min(0.0)
        ground = max(self.shift + self.damping, torch.finfo(images.dtype).eps * float(eigenvalues[0]), tiny)
        return LowRank(rows, 1.0 / (eigenvalues + ground), 1.0 / (float(eigenvalues[-1]) + ground))

    def _probes(self, operator: SymmetricOperator) -> Rows:
        """Ωᵀ: orthonormal random rows in the complement of the kernel, at most as many as its dimension."""
        kernel, size = operator.kernel, operator.size
        count = min(self.rank, size - kernel.shape[0])
        noise = torch.randn(count, size, generator=torch.Generator().manual_seed(self.seed), dtype=torch.float64)
        basis, _ = torch.linalg.qr(project_out(kernel, noise.to(kernel)).T)
        return basis.T

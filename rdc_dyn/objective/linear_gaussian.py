"""J = −E log ∫ N(z; 0, I) N(x; Wz, σ²I)^λ N(y; Vz, τ²I)^γ dz: a linear-Gaussian model with its Gibbs encoder."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from rdc_dyn.linalg.base import Rows, Scalar, Vector


@dataclass(frozen=True)
class LinearGaussian:
    """The linear-Gaussian model with θ = B = [W; V], shape (n + m, q), flattened row by row.

    The data enter through the second moment S of (x, y). With P = diag(λ/σ², γ/τ²), the Gaussian integral over z gives

    J(θ) = const + ½ ln|I + BᵀPB| + ½ tr PS − ½ tr (I + BᵀPB)⁻¹ BᵀPSPB,

    from which everything else follows by differentiation. (The closed form of min_θ J serves only as an oracle in the
    tests.) This form never divides by λ or γ, so either may be zero.

    Attributes:
        x_dim: n.
        y_dim: m.
        latent_dim: q.
        distortion_variance: σ².
        label_variance: τ².
        source: S at t = 0.
        target: S at t = 1; None if the data do not move.
        path: mixture, S(t) = (1 − t) S_s + t S_t, or optimal_transport, the second moment of the displaced points.
    """

    x_dim: int
    y_dim: int
    latent_dim: int
    distortion_variance: float
    label_variance: float
    source: Float[Tensor, "d d"]
    target: Float[Tensor, "d d"] | None = None
    path: Literal["mixture", "optimal_transport"] = "mixture"
    weight_prior_precision: float = 0.0
    exact: bool = True

    @property
    def moves(self) -> bool:
        """Whether there is a target."""
        return self.target is not None

    @property
    def size(self) -> int:
        """P = (n + m) q."""
        return (self.x_dim + self.y_dim) * self.latent_dim

    @cached_property
    def transport(self) -> Float[Tensor, "d d"]:
        """T = S_s^{−½} (S_s^{½} S_t S_s^{½})^{½} S_s^{−½}, the optimal map between the centred Gaussians."""
        assert self.target is not None
        root, inverse = _power(self.source, 0.5), _power(self.source, -0.5)
        return inverse @ _power(root @ self.target @ root, 0.5) @ inverse

    def second_moment(self, data_position: Scalar) -> Float[Tensor, "d d"]:
        """S(t) of the mixture, or B S_s Bᵀ with B = (1 − t) I + t T for optimal transport."""
        if self.target is None:
            return self.source
        if self.path == "mixture":
            return self.source + data_position * (self.target - self.source)
        eye = torch.eye(self.source.shape[0], dtype=self.source.dtype, device=self.source.device)
        b = eye + data_position * (self.transport - eye)
        return b @ self.source @ b.T

    def free_energy(self, theta: Vector, lam: Scalar, gamma: Scalar, data_position: Scalar) -> Scalar:
        """J = −E log Z by the matrix determinant lemma."""
        n, m = self.x_dim, self.y_dim
        b = theta.view(n + m, self.latent_dim)
        moment = self.second_moment(data_position)
        precision = torch.cat([(lam / self.distortion_variance).expand(n), (gamma / self.label_variance).expand(m)])
        weighted = precision[:, None] * b
        inner = torch.eye(self.latent_dim, dtype=b.dtype, device=b.device) + b.T @ weighted
        factor, info = torch.linalg.cholesky_ex(inner)
        if int(info):  # only multipliers or parameters out of bounds fail, and J is not finite there
            return theta.sum() * torch.nan
        explained = torch.cholesky_solve(weighted.T @ moment @ weighted, factor).diagonal().sum()
        constants = 0.5 * n * lam * math.log(2 * math.pi * self.distortion_variance) + 0.5 * m * gamma * math.log(
            2 * math.pi * self.label_variance
        )
        return constants + factor.diagonal().log().sum() + 0.5 * (precision * moment.diagonal()).sum() - 0.5 * explained

    def initial(self, generator: torch.Generator) -> Vector:
        """Independent normal entries of variance 1/q."""
        noise = torch.randn(self.size, generator=generator, dtype=torch.float64)
        return (noise * self.latent_dim**-0.5).to(self.source)

    def kernel(self, theta: Vector) -> Rows:
        """Rotations of z: δB = B X for antisymmetric X, orthonormalised; at most q (q − 1)/2 of them."""
        q = self.latent_dim
        b = theta.view(-1, q)
        rows = []
        for i in range(q):
            for j in range(i + 1, q):
                turn = torch.zeros_like(b)
                turn[:, j], turn[:, i] = b[:, i], -b[:, j]
                rows.append(turn.flatten())
        if not rows:
            return theta.new_zeros((0, self.size))
        _, size, basis = torch.linalg.svd(torch.stack(rows), full_matrices=False)
        # Rotations among unused codes (zero columns of B) are trivial.
        return basis[size > 1e-8 * size[0].clamp_min(torch.finfo(size.dtype).tiny)]

    def diagnostics(self, theta: Vector, lam: float, gamma: float, data_position: float) -> dict[str, float]:
        """No further diagnostics: y is not a class, so there is no accuracy."""
        return {}


def _power(matrix: Float[Tensor, "d d"], exponent: float) -> Float[Tensor, "d d"]:
    """S^p of a symmetric positive semidefinite S, on its range."""
    values, vectors = torch.linalg.eigh(matrix)
    live = values > torch.finfo(values.dtype).eps * values.shape[0] * values[-1]
    powers = torch.where(live, values.clamp_min(torch.finfo(values.dtype).tiny) ** exponent, 0.0)
    return (vectors * powers) @ vectors.T

"""Exact surface of the linear-Gaussian model, F = const + ½ Σ_active (ln ℓ_i + 1) + ½ Σ_inactive ℓ_i, in NumPy only."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

#: Maps a data position t to S, dS/dt and d²S/dt².
Moments = Callable[[float], tuple[np.ndarray, np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class ExactPoint:
    """The exact surface at one point (λ, γ, t).

    Attributes:
        controls: (λ, γ, t).
        free_energy: F in nats.
        gradient: (D, C, ∂F/∂t).
        hessian: Second derivatives of F with respect to (λ, γ, t).
        active: Number of codes in use, those with ℓ_i > 1.
    """

    controls: np.ndarray
    free_energy: float
    gradient: np.ndarray
    hessian: np.ndarray
    active: int

    @property
    def rate(self) -> float:
        """R = F − λD − γC."""
        return self.free_energy - float(self.controls[:2] @ self.gradient[:2])

    @property
    def losses(self) -> np.ndarray:
        """(R, D, C)."""
        return np.array([self.rate, self.gradient[0], self.gradient[1]])

    @property
    def matrix(self) -> np.ndarray:
        """M = d(R, D, C)/d(λ, γ, t), with dR = −λ dD − γ dC + ∂F/∂t dt."""
        losses = self.hessian[:2]
        rate = -self.controls[:2] @ losses
        rate[2] += self.gradient[2]
        return np.vstack([rate, losses])


@dataclass(frozen=True)
class ClosedForm:
    """F(λ, γ, t) in closed form, from the eigenvalues ℓ_i of P S(t), where P = diag(λ/σ², γ/τ²).

    F is the global minimum of J, so where some ℓ_i crosses 1 (a pitchfork) it continues along the branch that is the
    minimum from there on.

    Attributes:
        dims: Components of x, of y and of the code z.
        variances: σ² and τ².
        moments: S(t) with its first two derivatives.
    """

    dims: tuple[int, int, int]
    variances: tuple[float, float]
    moments: Moments

    @property
    def _slopes(self) -> np.ndarray:
        """∂(diag P)/∂λ and ∂(diag P)/∂γ, one row each; P is linear in both."""
        n, m, _ = self.dims
        slopes = np.zeros((2, n + m))
        slopes[0, :n], slopes[1, n:] = (1 / variance for variance in self.variances)
        return slopes

    def at(self, controls: np.ndarray) -> ExactPoint:
        """F, ∂F and ∂²F at (λ, γ, t) by perturbation theory of the eigenvalues.

        With left and right eigenvectors w, v of K = PS, Σ f(ℓ_i) has the derivatives Σ f'_i wᵢᵀ dK vᵢ and
        Σ f'_i wᵢᵀ d²K vᵢ + Σ_ij f'[ℓ_i, ℓ_j] (wᵢᵀ dK vⱼ)(wⱼᵀ dK vᵢ), where f'[ℓ_i, ℓ_j] is a divided difference of f'.
        """
        moment, speed, acceleration = self.moments(float(controls[2]))
        slopes = self._slopes
        precision = controls[:2] @ slopes
        values, left, right = _eigen(precision, moment)
        active = (np.arange(values.size) < self.dims[2]) & (values > 1)
        safe = np.where(active, values, 1.0)
        first = 1 / safe
        changes = np.stack([slopes[0][:, None] * moment, slopes[1][:, None] * moment, precision[:, None] * speed])
        moved = np.einsum("ia,cij,jb->cab", left, changes, right)
        gradient = 0.5 * np.einsum("i,cii->c", first, moved)
        hessian = 0.5 * np.einsum("ij,aij,bji->ab", _divided(values, active), moved, moved)
        curved = np.zeros((3, 3, *moment.shape))
        for row, slope in enumerate(slopes):
            curved[row, 2] = curved[2, row] = slope[:, None] * speed
        curved[2, 2] = precision[:, None] * acceleration
        hessian += 0.5 * np.einsum("k,ik,abij,jk->ab", first, left, curved, right)
        constants = np.array([0.5 * n * math.log(2 * math.pi * v) for n, v in zip(self.dims, self.variances)])
        free_energy = float(constants @ controls[:2]) + 0.5 * float(np.where(active, np.log(safe) + 1, values).sum())
        gradient[:2] += constants
        return ExactPoint(np.array(controls, dtype=float), free_energy, gradient, hessian, int(active.sum()))


def _eigen(precision: np.ndarray, moment: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Eigenvalues of P S, descending, with left and right eigenvectors such that WᵀV = I."""
    # Diagonalise the symmetric P^½ S P^½ if P is invertible, else S^½ P S^½.
    if precision.min() > 0:
        root = np.sqrt(precision)
        values, vectors = np.linalg.eigh(root[:, None] * moment * root)
        left, right = vectors / root[:, None], root[:, None] * vectors
    else:
        size, basis = np.linalg.eigh(moment)
        half, inverse = (basis * np.sqrt(size)) @ basis.T, (basis / np.sqrt(size)) @ basis.T
        values, vectors = np.linalg.eigh(half @ (precision[:, None] * half))
        left, right = half @ vectors, inverse @ vectors
    return values[::-1], left[:, ::-1], right[:, ::-1]


def _divided(values: np.ndarray, active: np.ndarray) -> np.ndarray:
    """Divided differences (f'(ℓ_i) − f'(ℓ_j))/(ℓ_i − ℓ_j), where f' is 1/ℓ on active eigenvalues and 1 on others."""
    a, b = values[:, None], values[None, :]
    both, one = active[:, None] & active[None, :], active[:, None] ^ active[None, :]
    product = np.where(both, a * b, 1.0)
    first = 1 / np.where(active, values, 1.0)
    gap = np.where(one, a - b, 1.0)
    return np.where(both, -1 / product, np.where(one, (first[:, None] - first[None, :]) / gap, 0.0))


def mixture(source: np.ndarray, target: np.ndarray | None) -> Moments:
    """S(t) = (1 − t) S_s + t S_t."""
    speed = np.zeros_like(source) if target is None else target - source
    return lambda t: (source + t * speed, speed, np.zeros_like(source))


def displaced(source: np.ndarray, target: np.ndarray) -> Moments:
    """S(t) = B S_s Bᵀ, B = (1 − t) I + t T, T = S_s^{−½}(S_s^{½} S_t S_s^{½})^{½} S_s^{−½}."""
    root, inverse = _power(source, 0.5), _power(source, -0.5)
    eye = np.eye(source.shape[0])
    move = inverse @ _power(root @ target @ root, 0.5) @ inverse - eye

    def moments(t: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        b = eye + t * move
        half = move @ source @ b.T
        return b @ source @ b.T, half + half.T, 2 * move @ source @ move.T

    return moments


def _power(matrix: np.ndarray, exponent: float) -> np.ndarray:
    """S^p of a symmetric positive semidefinite S, on its range."""
    values, vectors = np.linalg.eigh(matrix)
    live = values > np.finfo(float).eps * values.size * values[-1]
    powers = np.where(live, np.where(live, values, 1.0) ** exponent, 0.0)
    return (vectors * powers) @ vectors.T

"""Lemma 9 (25, 27) for the finite latent alphabet: explicit Gibbs moments of b_t, θ_t and (R, D, C)_t against autograd.

⟨f⟩ of one datum changes as d⟨f⟩ = ⟨df⟩ − ⟨f dH⟩ + ⟨f⟩⟨dH⟩. For the mixture only the weights of the data move; along a
coupling only H does, by ∂_tH = λ d/dt(−log d(x_t|z)) + γ (log c(y|z) − log c(y'|z)).
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor
from torch.func import hessian, jacrev, vmap

from rdc_dyn.curvature.free_energy import FreeEnergy
from rdc_dyn.curvature.linearisation import Linearisation, Work
from rdc_dyn.data.coupling import optimal_coupling
from rdc_dyn.data.samples import Data
from rdc_dyn.dynamics import linear_response
from rdc_dyn.linalg import Dense
from rdc_dyn.objective import FiniteLatent
from tests.problems import blobs, controls, equilibrium, finite_latent, generator

T, PRIOR = 0.4, 1e-2
# (λ, γ) where the codes part, but softly: otherwise most moments vanish.
MIXTURE, TRANSPORT = (1.2, 1.0), (2.0, 4.0)


class Moments:
    """Gibbs averages over z of points x_t = (1 − t) x + t x' with labels y and y'; shares H's formula and no more."""

    def __init__(self, objective: FiniteLatent, theta: Tensor, at: tuple[float, float], *points: Tensor) -> None:
        self.objective, self.theta, self.points = objective, theta, points
        self.lam, self.gamma = at
        self.names = ("h", "distortion", "ell", "dt_h", "dt_distortion", "dt_ell")
        values = vmap(lambda *point: self.parts(theta, *point))(*points)
        self.value = dict(zip(self.names, values))
        gradients = vmap(lambda *point: jacrev(lambda th: self.parts(th, *point))(theta))(*points)
        self.gradient = dict(zip(self.names, gradients))
        self.encoder = (-self.value["h"]).softmax(1)

    def parts(self, theta: Tensor, x: Tensor, goal: Tensor, y: Tensor, label: Tensor) -> tuple[Tensor, ...]:
        """H, −log d(x_t|z), ℓ = log c and their ∂_t for each z, written out."""
        k, n, classes = self.objective.alphabet_size, x.shape[0], self.objective.data.classes
        log_prior = theta[:k] - theta[:k].logsumexp(0)
        mean, logits = theta[k : k * (1 + n)].view(k, n), theta[k * (1 + n) :].view(k, classes)
        variance = self.objective.likelihood.variance  # type: ignore[attr-defined]
        away = (1 - T) * x + T * goal - mean
        normaliser = 0.5 * n * torch.log(2 * torch.pi * theta.new_tensor(variance))
        distortion = away.square().sum(1) / (2 * variance) + normaliser
        start, end = ((logits * (torch.arange(classes) == v)).sum(1) - logits.logsumexp(1) for v in (y, label))
        ell, dt_ell = (1 - T) * start + T * end, end - start
        dt_distortion = away @ (goal - x) / variance
        h = -log_prior + self.lam * distortion - self.gamma * ell
        dt_h = self.lam * dt_distortion + self.gamma * (start - end)
        return h, distortion, ell, dt_h, dt_distortion, dt_ell

    def average(self, values: Tensor) -> Tensor:
        """⟨values⟩ of each datum; values have shape (N, K, ...)."""
        return torch.einsum("nk,nk...->n...", self.encoder, values)

    def mean(self, name: str) -> Tensor:
        """⟨f⟩."""
        return self.average(self.value[name])

    def log_partition(self) -> Tensor:
        """log Z."""
        return (-self.value["h"]).logsumexp(1)

    def grad_h(self) -> Tensor:
        """⟨∇H⟩ = −∇ log Z."""
        return self.average(self.gradient["h"])

    def by_theta(self, name: str) -> Tensor:
        """∇⟨f⟩ = ⟨∇f⟩ − ⟨f∇H⟩ + ⟨f⟩⟨∇H⟩."""
        cross = self.average(self.value[name][..., None] * self.gradient["h"])
        return self.average(self.gradient[name]) - cross + self.mean(name)[:, None] * self.grad_h()

    def by_t(self, name: str) -> Tensor:
        """∂_t⟨f⟩ = ⟨∂_tf⟩ − ⟨f ∂_tH⟩ + ⟨f⟩⟨∂_tH⟩."""
        cross = self.average(self.value[name] * self.value["dt_h"])
        return self.mean(f"dt_{name}") - cross + self.mean(name) * self.mean("dt_h")

    def a(self, weights: Tensor) -> Tensor:
        """E[⟨∇²H⟩ + ⟨∇H⟩⟨∇H⟩ᵀ − ⟨∇H ∇Hᵀ⟩] (18)."""
        frozen = weights[:, None] * self.encoder

        def h(theta: Tensor) -> Tensor:
            return (frozen * vmap(lambda *point: self.parts(theta, *point)[0])(*self.points)).sum()

        mean, grad = self.grad_h(), self.gradient["h"]
        outer = torch.einsum("n,np,nq->pq", weights, mean, mean)
        return hessian(h)(self.theta) + outer - torch.einsum("nk,nkp,nkq->pq", frozen, grad, grad)


def moving() -> FiniteLatent:
    source, target = blobs(24, seed=1).source, blobs(36, seed=2).source
    data = Data(source, target, None, 3, optimal_coupling(source.x, target.x))
    return finite_latent(data, 3, PRIOR)


def compare(at: Linearisation, a: Tensor, b_t: Tensor, forward: Tensor, by_theta: Tensor) -> None:
    """b_t, θ_t = A⁻¹ b_t and (J, D, C)_t = ∂_t + θ_tᵀ∇ against the automatic ones, to 1e-10.

    Args:
        at: An equilibrium.
        a: A, without the weight prior.
        b_t: b_t.
        forward: ∂_t(J, D, C) at fixed θ.
        by_theta: ∇(J, D, C), J without the weight prior.
    """
    lam, gamma, _ = at.controls.tolist()
    close = partial(torch.testing.assert_close, rtol=0, atol=1e-10)
    response = linear_response(at, Dense(), PRIOR)
    theta_t = torch.linalg.solve(a + PRIOR * torch.eye(len(b_t), dtype=a.dtype), b_t)
    close(at.mixed[2], b_t)
    close(response.directions[2], theta_t)
    j_t, d_t, c_t = forward + by_theta @ theta_t
    assert min(abs(float(d_t)), abs(float(c_t))) > 1e-3
    explicit = torch.stack([j_t - lam * d_t - gamma * c_t, d_t, c_t])
    close(response.matrix[:, 2], explicit)


def test_the_mixture() -> None:
    """θ_t = A⁻¹ b_t, b_t = −(E_t − E_s)⟨∇H⟩; C_t = −(E_t − E_s)⟨ℓ⟩ − θ_tᵀ E[⟨∇H⟩⟨ℓ⟩ − ⟨ℓ∇H⟩ + ⟨∇ℓ⟩]."""
    coupled = moving()
    objective = replace(coupled, data=replace(coupled.data, coupling=None))
    source, target = objective.data.source, objective.data.target
    assert target is not None
    at = equilibrium(objective, controls(*MIXTURE, T))
    x, y = torch.cat([source.x, target.x]), torch.cat([source.y, target.y])
    moments = Moments(objective, at.theta, MIXTURE, x, x, y, y)
    change = torch.cat([x.new_full((24,), -1 / 24), x.new_full((36,), 1 / 36)])  # E_t − E_s
    here = torch.cat([-(1 - T) * change[:24], T * change[24:]])
    forward = torch.stack([-moments.log_partition(), moments.mean("distortion"), -moments.mean("ell")]) @ change
    gradients = torch.stack([moments.grad_h(), moments.by_theta("distortion"), -moments.by_theta("ell")])
    by_theta = torch.einsum("n,fnp->fp", here, gradients)
    compare(at, moments.a(here), -change @ moments.grad_h(), forward, by_theta)


def coupled_points(objective: FiniteLatent) -> tuple[tuple[Tensor, ...], Tensor]:
    data = objective.data
    assert data.coupling is not None and data.target is not None
    i, j = data.coupling.source, data.coupling.target
    return (data.source.x[i], data.target.x[j], data.source.y[i], data.target.y[j]), data.coupling.weights


def test_optimal_transport() -> None:
    """b_t = −E[⟨∂_t∇H⟩ − ⟨∂_tH ∇H⟩ + ⟨∂_tH⟩⟨∇H⟩]; C_t = −E[∂_t⟨ℓ⟩] − θ_tᵀ E[⟨∇H⟩⟨ℓ⟩ − ⟨ℓ∇H⟩ + ⟨∇ℓ⟩]."""
    objective = moving()
    at = equilibrium(objective, controls(*TRANSPORT, T))
    points, weights = coupled_points(objective)
    moments = Moments(objective, at.theta, TRANSPORT, *points)
    forward = torch.stack([moments.mean("dt_h"), moments.by_t("distortion"), -moments.by_t("ell")]) @ weights
    gradients = torch.stack([moments.grad_h(), moments.by_theta("distortion"), -moments.by_theta("ell")])
    by_theta = torch.einsum("n,fnp->fp", weights, gradients)
    compare(at, moments.a(weights), -weights @ moments.by_theta("dt_h"), forward, by_theta)


@pytest.mark.parametrize("seed", [1, 2])
def test_b_t_and_a_of_optimal_transport_at_any_theta(seed: int) -> None:
    objective = moving()
    noise = torch.randn(objective.size, generator=generator(seed), dtype=torch.float64)
    theta = objective.initial(generator()) + 0.1 * noise
    at = FreeEnergy(objective, Work()).linearise(theta, controls(*TRANSPORT, T))
    points, weights = coupled_points(objective)
    moments = Moments(objective, theta, TRANSPORT, *points)
    torch.testing.assert_close(at.mixed[2], -weights @ moments.by_theta("dt_h"), rtol=0, atol=1e-10)
    a = at.mm(torch.eye(objective.size, dtype=torch.float64)) - PRIOR * torch.eye(objective.size, dtype=torch.float64)
    torch.testing.assert_close(a, moments.a(weights), rtol=0, atol=1e-10)

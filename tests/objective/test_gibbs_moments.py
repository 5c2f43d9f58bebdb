"""The automatic A, b and C_λ, C_γ against the explicit Gibbs moments (17), (18), (21) of the paper."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.func import hessian, jacrev, vmap

from rdc_dyn.curvature.free_energy import FreeEnergy
from rdc_dyn.curvature.linearisation import Work
from rdc_dyn.dynamics import linear_response
from rdc_dyn.linalg import Dense, materialise
from rdc_dyn.objective import FiniteLatent
from tests.problems import blobs, controls, digits, equilibrium, finite_latent, generator

LAM, GAMMA = 0.3, 1.5


class Moments:
    """⟨·⟩ by sums over z, from H alone; nothing is shared with the automatic route but H's formula."""

    def __init__(self, objective: FiniteLatent, theta: Tensor) -> None:
        self.x, self.y = objective.data.source.x, objective.data.source.y
        self.k = objective.alphabet_size
        self.objective, self.theta = objective, theta
        everything = vmap(lambda x, y: self.parts(theta, x, y))(self.x, self.y)
        h, self.d_lam, self.d_gamma = everything  # ∂H/∂λ = −log d, ∂H/∂γ = −log c
        self.weights = (-h).softmax(1) / len(self.x)  # includes the average over the data
        jacobians = [vmap(jacrev(lambda t, x, y, i=i: self.parts(t, x, y)[i]), (None, 0, 0)) for i in range(3)]
        self.grad_h, self.grad_lam, self.grad_gamma = (j(theta, self.x, self.y) for j in jacobians)

    def parts(self, theta: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(H, −log d(x|z), −log c(y|z)) for each z, written out."""
        n, classes = x.shape[0], self.objective.data.classes
        prior = theta[: self.k] - theta[: self.k].logsumexp(0)
        mean = theta[self.k : self.k * (1 + n)].view(self.k, n)
        logits = theta[self.k * (1 + n) :].view(self.k, classes)
        variance = self.objective.likelihood.variance  # type: ignore[attr-defined]
        d = ((x - mean) ** 2).sum(1) / (2 * variance) + 0.5 * n * torch.log(2 * torch.pi * theta.new_tensor(variance))
        c = logits.logsumexp(1) - (logits * (torch.arange(classes) == y)).sum(1)
        return -prior + LAM * d + GAMMA * c, d, c

    def average(self, values: Tensor) -> Tensor:
        """E_x ⟨values⟩; values have shape (N, K, ...)."""
        return torch.einsum("nk,nk...->n...", self.weights, values).sum(0)

    def product(self, one: Tensor, two: Tensor) -> Tensor:
        """E_x ⟨one⟩⟨two⟩ for a scalar and a vector (or two scalars)."""
        n = len(self.x)
        first = torch.einsum("nk,nk->n", self.weights, one)
        second = torch.einsum("nk,nk...->n...", self.weights, two)
        return n * torch.einsum("n,n...->...", first, second)

    def a(self) -> Tensor:
        """A = E[⟨∇²H⟩ + ⟨∇H⟩⟨∇H⟩ᵀ − ⟨∇H ∇Hᵀ⟩] (18)."""
        frozen = self.weights

        def weighted(theta: Tensor) -> Tensor:
            return (frozen * vmap(lambda x, y: self.parts(theta, x, y)[0])(self.x, self.y)).sum()

        mean = torch.einsum("nk,nkp->np", self.weights, self.grad_h)
        outer = len(self.x) * mean.T @ mean
        square = torch.einsum("nk,nkp,nkq->pq", self.weights, self.grad_h, self.grad_h)
        return hessian(weighted)(self.theta) + outer - square

    def b(self, d: Tensor, grad_d: Tensor) -> Tensor:
        """b_c = −E[⟨∂_c∇H⟩ − ⟨∂_cH ∇H⟩ + ⟨∂_cH⟩⟨∇H⟩] (18)."""
        cross = torch.einsum("nk,nk,nkp->p", self.weights, d, self.grad_h)
        return -(self.average(grad_d) - cross + self.product(d, self.grad_h))

    def c_derivative(self, d: Tensor, theta_c: Tensor) -> Tensor:
        """C_c = −E[⟨∂_cH⟩⟨ℓ⟩ − ⟨∂_cH ℓ⟩ + θ_cᵀ(⟨∇H⟩⟨ℓ⟩ − ⟨ℓ∇H⟩ + ⟨∇ℓ⟩)], ℓ = log c (21)."""
        ell, grad_ell = -self.d_gamma, -self.grad_gamma
        explicit = self.product(d, ell) - self.average(d * ell)
        implicit = self.product(ell, self.grad_h) - self.average(ell[..., None] * self.grad_h) + self.average(grad_ell)
        return -(explicit + theta_c @ implicit)


@pytest.fixture(scope="module", params=["blobs", "digits"])
def case(request: pytest.FixtureRequest) -> FiniteLatent:
    return finite_latent(blobs() if request.param == "blobs" else digits(40, classes=(0, 1, 2)), 3, 0.0)


def test_a_and_b_at_any_theta(case: FiniteLatent) -> None:
    theta = case.initial(generator()) + 0.1 * torch.randn(case.size, generator=generator(1), dtype=torch.float64)
    at = FreeEnergy(case, Work()).linearise(theta, controls(LAM, GAMMA))
    moments = Moments(case, theta)
    a = torch.cat([at.mm(rows) for rows in torch.eye(case.size, dtype=torch.float64).split(50)])
    torch.testing.assert_close(a, moments.a(), rtol=0, atol=1e-10)
    torch.testing.assert_close(at.mixed[0], moments.b(moments.d_lam, moments.grad_lam), rtol=0, atol=1e-10)
    torch.testing.assert_close(at.mixed[1], moments.b(moments.d_gamma, moments.grad_gamma), rtol=0, atol=1e-10)


def test_c_lam_and_c_gamma_at_equilibrium() -> None:
    # The explicit formula holds for a weight prior too: Ω is in A, not in b.
    case = finite_latent(blobs(), 3, 1e-3)
    at = equilibrium(case, controls(LAM, GAMMA))
    response = linear_response(at, Dense(), case.weight_prior_precision)
    moments = Moments(case, at.theta)
    torch.testing.assert_close(
        materialise(at), moments.a() + 1e-3 * torch.eye(case.size, dtype=torch.float64), rtol=0, atol=1e-10
    )
    for column, d in enumerate((moments.d_lam, moments.d_gamma)):
        explicit = moments.c_derivative(d, response.directions[column])
        assert float(abs(response.matrix[2, column] - explicit)) < 1e-10


def test_functionals_are_gibbs_averages(case: FiniteLatent) -> None:
    theta = case.initial(generator())
    at = FreeEnergy(case, Work()).linearise(theta, controls(LAM, GAMMA))
    moments = Moments(case, theta)
    encoder = moments.weights * len(moments.x)
    log_prior = theta[:3].log_softmax(0)
    rate = (encoder * (encoder.log() - log_prior)).sum(1).mean()
    expected = torch.stack([rate, moments.average(moments.d_lam), moments.average(moments.d_gamma)])
    torch.testing.assert_close(at.functionals, expected, rtol=1e-11, atol=1e-12)

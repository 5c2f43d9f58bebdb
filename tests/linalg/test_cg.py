"""Block conjugate gradients: what the block gains, and negative curvature."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rdc_dyn.linalg import ConjugateGradient, Factorised, Identity, Preconditioner
from rdc_dyn.linalg.base import project_out
from rdc_dyn.linalg.cg import _inverse
from rdc_dyn.status import Status
from tests.linalg.matrices import FLOAT64, Matrix, network_like, rows, spectrum


def plain() -> Preconditioner:
    return Preconditioner(Identity(), memory=0)


def textbook(matrix: torch.Tensor, b: torch.Tensor, steps: int) -> torch.Tensor:
    """Hestenes & Stiefel (1952)."""
    u, r = torch.zeros_like(b), b
    p = r
    for _ in range(steps):
        alpha = (r @ r) / (p @ matrix @ p)
        u, new = u + alpha * p, r - alpha * (matrix @ p)
        p, r = new + (new @ new) / (r @ r) * p, new
    return u


def test_one_right_hand_side_is_the_textbook_method() -> None:
    matrix, b = spectrum(torch.logspace(-1, 0, 30)), rows(1, 30)
    solution = ConjugateGradient(1e-6, preconditioner=plain()).solve(Matrix(matrix), b)
    steps = solution.iterations
    torch.testing.assert_close(solution.value[0], textbook(matrix, b[0], steps), rtol=1e-7, atol=1e-9)
    before = textbook(matrix, b[0], steps - 1)
    assert float((b[0] - matrix @ before).norm() / b.norm()) > 1e-6


def test_a_block_of_k_ends_after_a_kth_of_the_steps() -> None:
    """The block Krylov space of k vectors fills P dimensions in P / k steps."""
    matrix, b = spectrum(torch.linspace(1, 30, 30)), rows(3, 30)
    solution = ConjugateGradient(1e-11, preconditioner=plain()).solve(Matrix(matrix), b)
    assert solution.failure is None
    assert solution.iterations <= 3 * 11


@pytest.mark.parametrize("count", [2, 3])
def test_a_block_takes_fewer_products_than_one_after_the_other(count: int) -> None:
    matrix, b = spectrum(network_like(150)), rows(count, 150)
    together = ConjugateGradient(1e-8, preconditioner=plain()).solve(Matrix(matrix), b)
    alone = [ConjugateGradient(1e-8, preconditioner=plain()).solve(Matrix(matrix), row[None]) for row in b]
    assert together.failure is None
    assert together.iterations < 0.8 * sum(solution.iterations for solution in alone)


def test_dependent_right_hand_sides_cost_no_products_of_their_own() -> None:
    matrix, b = spectrum(torch.logspace(-2, 0, 40)), rows(1, 40)
    alone = ConjugateGradient(1e-9, preconditioner=plain()).solve(Matrix(matrix), b)
    tripled = ConjugateGradient(1e-9, preconditioner=plain()).solve(Matrix(matrix), torch.cat([b, 2 * b, -b]))
    assert tripled.iterations <= alone.iterations + 2


@pytest.mark.parametrize("recipe", [Identity(), Factorised()])
@pytest.mark.parametrize("count", [1, 3])
def test_negative_curvature_is_reported_and_no_vector_returned(recipe: Identity | Factorised, count: int) -> None:
    matrix = spectrum([-0.5, 1.0, 2.0, 3.0, 4.0, 5.0])
    solution = ConjugateGradient(1e-12, preconditioner=Preconditioner(recipe)).solve(Matrix(matrix), rows(count, 6))
    assert solution.failure is Status.INDEFINITE
    assert bool(solution.value.isnan().all())


@given(size=st.integers(2, 20), count=st.integers(1, 3), seed=st.integers(0, 1000), low=st.floats(-1, -1e-3))
@settings(max_examples=50, deadline=None)
def test_any_indefinite_matrix_is_found_out(size: int, count: int, seed: int, low: float) -> None:
    values = torch.cat([torch.tensor([low], dtype=FLOAT64), torch.linspace(0.1, 1, size - 1, dtype=FLOAT64)])
    solution = ConjugateGradient(1e-10).solve(Matrix(spectrum(values, seed)), rows(count, size, seed + 1))
    assert solution.failure is Status.INDEFINITE


def test_a_drifting_recurrence_is_begun_again_from_the_true_residual() -> None:
    """A product that is a little off lets the recurrence promise more than the truth holds."""
    matrix, b = spectrum(torch.logspace(-6, 0, 100)), rows(1, 100)
    solution = ConjugateGradient(1e-9, 20_000, preconditioner=plain()).solve(Matrix(matrix), b)
    assert solution.failure is None
    assert float((b - solution.value @ matrix).norm() / b.norm()) <= 1.01e-9


def test_curvature_is_indefinite_only_beyond_rounding() -> None:
    eps, lengths = torch.finfo(torch.float64).eps, torch.ones(2, dtype=torch.float64)

    def inverse(second: float) -> Tensor | None:
        return _inverse(torch.diag(torch.tensor([2.0, second], dtype=torch.float64)), lengths, eps)

    assert inverse(-0.1) is None and inverse(-1e-11) is None
    for noise in (-0.1 * eps, 0.1 * eps, 0.0, -100 * eps):
        found = inverse(noise)
        assert found is not None
        torch.testing.assert_close(found, torch.diag(torch.tensor([0.5, 0.0], dtype=torch.float64)))
    whole = inverse(4.0)
    assert whole is not None
    torch.testing.assert_close(whole, torch.diag(torch.tensor([0.5, 0.25], dtype=torch.float64)))


@pytest.mark.parametrize("modes", [0, 1, 2])
def test_zero_modes_are_projected_out(modes: int) -> None:
    vectors = torch.randn(3, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    kernel = torch.eye(5, dtype=torch.float64)[:modes]
    expected = vectors.clone()
    expected[:, :modes] = 0.0
    torch.testing.assert_close(project_out(kernel, vectors), expected)
    torch.testing.assert_close(project_out(kernel, vectors[0]), expected[0])


def test_a_solve_for_products_alone_stops_at_their_error() -> None:
    """The error of b·u + u·r is of second order, so half the digits of u are enough."""
    matrix, b = spectrum(torch.logspace(-4, 0, 100)), rows(2, 100)
    exact = b @ torch.linalg.solve(matrix, b.T)
    spent = []
    for quadratic in (False, True):
        operator = Matrix(matrix)
        preconditioner = Preconditioner(Factorised())
        preconditioner.prepare(Matrix(spectrum(torch.logspace(-4, 0, 100) * torch.linspace(0.5, 2.0, 100))))
        solution = ConjugateGradient(1e-8, preconditioner=preconditioner, quadratic=quadratic).solve(operator, b)
        error = b @ solution.value.T + solution.value @ solution.left.T - exact
        assert float(error.abs().max()) <= 1e-8 * float(exact.diagonal().max())
        torch.testing.assert_close(solution.energy, -error, rtol=0.5, atol=1e-12 * float(exact.max()))
        spent.append(operator.products)
    assert spent[1] < 0.7 * spent[0]

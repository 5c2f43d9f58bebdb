"""Minimal residuals on indefinite matrices."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rdc_dyn.linalg import Factorised, Identity, Minres, Nystrom, Preconditioner, Recipe
from rdc_dyn.status import Status
from tests.linalg.matrices import FLOAT64, Matrix, relative_residual, rows, spectrum


@pytest.mark.parametrize("recipe", [Identity(), Factorised(), Nystrom(10)])
@given(size=st.integers(2, 25), negative=st.integers(1, 5), count=st.integers(1, 3), seed=st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_any_indefinite_system(recipe: Recipe, size: int, negative: int, count: int, seed: int) -> None:
    values = torch.logspace(-2, 0, size, dtype=FLOAT64)
    values[torch.randperm(size, generator=torch.Generator().manual_seed(seed))[:negative]] *= -1
    matrix, b = spectrum(values, seed), rows(count, size, seed + 1)
    solver = Minres(1e-9, preconditioner=Preconditioner(recipe))
    for _ in range(2):  # the second with what the first has learned
        solution = solver.solve(Matrix(matrix), b)
        assert solution.failure is None
        assert relative_residual(matrix, solution.value, b) <= 1.01e-9
        torch.testing.assert_close(solution.value, torch.linalg.solve(matrix, b.T).T, rtol=1e-5, atol=1e-5)


def test_the_residual_is_minimal_over_the_krylov_space() -> None:
    matrix, b = spectrum(torch.cat([torch.linspace(-1, -0.1, 10), torch.linspace(0.1, 2, 20)])), rows(1, 30)
    steps = 6
    krylov = [b[0]]
    for _ in range(steps - 1):
        krylov.append(matrix @ krylov[-1] / krylov[-1].norm())
    basis, _ = torch.linalg.qr(torch.stack(krylov).T)
    image = matrix @ basis
    best = basis @ torch.linalg.lstsq(image, b[0][:, None]).solution[:, 0]
    smallest = float((b[0] - matrix @ best).norm() / b.norm())
    # The tolerance is reached exactly at this step, neither before nor after.
    solver = Minres(1.002 * smallest, preconditioner=Preconditioner(Identity(), memory=0))
    solution = solver.solve(Matrix(matrix), b)
    assert solution.iterations == steps
    torch.testing.assert_close(solution.value[0], best, rtol=1e-6, atol=1e-8)


def test_learned_pairs_save_products_on_an_indefinite_matrix() -> None:
    values = torch.cat([-torch.linspace(0.5, 1, 4), torch.linspace(1, 2, 80), torch.logspace(1, 4, 12)])
    matrix, b = spectrum(values), rows(1, 96)
    solver = Minres(1e-9, preconditioner=Preconditioner(memory=40))
    first = solver.solve(Matrix(matrix), b).iterations
    assert solver.solve(Matrix(matrix), rows(1, 96, seed=7)).iterations < 0.6 * first


def test_an_inconsistent_singular_system_is_a_status() -> None:
    matrix = spectrum([-1.0, 0.0, 0.5, 1.0, 2.0])
    solution = Minres(1e-9).solve(Matrix(matrix), rows(2, 5))
    assert solution.failure in (Status.KRYLOV_STAGNATED, Status.KRYLOV_MAX_ITERATIONS)
    assert solution.residual == pytest.approx(1.0, abs=1.0)
    assert bool(solution.value.isnan().all())

"""Randomised Nyström preconditioner: exact for low rank plus shift, positive definite always, cheap as promised."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rdc_dyn.linalg import ConjugateGradient, Nystrom, Preconditioner
from rdc_dyn.status import NumericalFailure, Status
from tests.linalg.matrices import FLOAT64, Matrix, network_like, rows, spectrum

EYE = torch.eye(40, dtype=FLOAT64)


@pytest.mark.parametrize("rank", [7, 9, 40, 100])
@pytest.mark.parametrize("damping", [0.0, 0.03])
def test_exact_for_low_rank_plus_shift(rank: int, damping: float) -> None:
    """Of rank 6; the seventh eigenvalue tells that there is nothing more."""
    values = torch.cat([torch.full((34,), 0.01), torch.logspace(-1, 2, 6)]).double()
    matrix = spectrum(values)
    operator = Matrix(matrix)
    recipe = Nystrom(rank, shift=0.01, damping=damping)
    inverse = recipe.build(operator).apply(EYE)
    expected = torch.linalg.inv(matrix + damping * EYE)
    torch.testing.assert_close(inverse, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))
    assert operator.products == recipe.products(40) == min(rank, 40)


def test_it_takes_the_large_eigenvalues_out_of_the_condition() -> None:
    matrix = spectrum(network_like(200))
    m = Nystrom(40).build(Matrix(matrix)).apply(torch.eye(200, dtype=FLOAT64))
    values = torch.linalg.eigvals(m @ matrix).real
    assert float(values.max() / values.min()) < 1e-3 * 1e6
    b = rows(1, 200)
    bare = ConjugateGradient(1e-8, preconditioner=Preconditioner(memory=0)).solve(Matrix(matrix), b)
    with_it = ConjugateGradient(1e-8, preconditioner=Preconditioner(Nystrom(40), memory=0)).solve(Matrix(matrix), b)
    assert with_it.iterations < 0.3 * bare.iterations


@given(
    size=st.integers(2, 30), rank=st.integers(1, 35), seed=st.integers(0, 1000), single=st.booleans(),
    scale=st.floats(-6, 6), shift=st.sampled_from([0.0, 1e-3]),
)  # fmt: skip
@settings(max_examples=80, deadline=None)
def test_positive_definite_whatever_the_matrix(
    size: int, rank: int, seed: int, single: bool, scale: float, shift: float
) -> None:
    """Indefinite matrices of any scale, also singular ones."""
    values = 10**scale * rows(1, size, seed)[0]
    values[: size // 3] = 0.0
    matrix = spectrum(values, seed).to(torch.float32 if single else FLOAT64)
    m = Nystrom(rank, shift).build(Matrix(matrix)).apply(torch.eye(size, dtype=matrix.dtype)).double()
    assert bool(torch.isfinite(m).all())
    values = torch.linalg.eigvalsh(0.5 * (m + m.T))
    assert float(values[0]) > -1e2 * torch.finfo(matrix.dtype).eps * float(values[-1])


def test_the_kernel_takes_no_part() -> None:
    matrix = spectrum([-3.0, 0.5, 1.0, 2.0, 4.0, 5.0])
    n = torch.linalg.eigh(matrix)[1][:, :1].T
    inverse = Preconditioner(Nystrom(6), memory=0)
    inverse.prepare(Matrix(matrix, kernel=n))
    v = rows(3, 6)
    expected = v @ (torch.linalg.inv(matrix) - n.T @ n / -3.0)
    torch.testing.assert_close(inverse.apply(v), expected, rtol=1e-9, atol=1e-9)


def test_the_seed_decides_and_nothing_else() -> None:
    matrix, v = spectrum(network_like(60)), rows(2, 60)
    one = Nystrom(10).build(Matrix(matrix)).apply(v)
    torch.manual_seed(99)
    assert torch.equal(one, Nystrom(10).build(Matrix(matrix)).apply(v))
    assert not torch.equal(one, Nystrom(10, seed=1).build(Matrix(matrix)).apply(v))


def test_non_finite_products_raise() -> None:
    with pytest.raises(NumericalFailure) as failure:
        Nystrom(3).build(Matrix(torch.full((5, 5), torch.nan, dtype=FLOAT64)))
    assert failure.value.status is Status.NON_FINITE

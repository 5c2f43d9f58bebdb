"""Dense solves and factorisations: inertia and refusals."""

from __future__ import annotations

import pytest
import torch

from rdc_dyn.linalg import Dense, materialise
from rdc_dyn.linalg.factorisation import negative_eigenvalues
from rdc_dyn.status import NumericalFailure, Status
from tests.linalg.matrices import Matrix, rows, spectrum


def test_indefinite_system_is_reported_and_no_vector_returned() -> None:
    solution = Dense().solve(Matrix(spectrum([-0.5, 1.0, 2.0, 3.0])), rows(1, 4))
    assert solution.failure is Status.INDEFINITE
    assert bool(solution.value.isnan().all())


def test_an_inconsistent_right_hand_side_is_refused() -> None:
    matrix = spectrum([0.0, 0.5, 1.0, 2.0])
    assert Dense().solve(Matrix(matrix), rows(1, 4)).failure is Status.SINGULAR


def test_non_finite_products_raise() -> None:
    matrix = spectrum([1.0, 2.0, 3.0])
    matrix[0, 0] = torch.nan
    with pytest.raises(NumericalFailure) as failure:
        Dense().solve(Matrix(matrix), rows(1, 3))
    assert failure.value.status is Status.NON_FINITE


def test_materialise_takes_one_product_for_each_column() -> None:
    matrix = spectrum([-2.0, -0.5, 0.0, 1.0, 3.0])
    operator = Matrix(matrix)
    torch.testing.assert_close(materialise(operator), matrix)
    assert operator.products == 5


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, 301])
def test_inertia_is_that_of_the_eigenvalues(size: int) -> None:
    for seed in range(8):
        matrix = rows(size, size, seed)
        matrix = matrix + matrix.T
        if seed % 2:
            matrix.fill_diagonal_(0.0)  # no pivot of one row is safe
        assert negative_eigenvalues(matrix) == int((torch.linalg.eigvalsh(matrix) < 0).sum())


def test_an_eigenvalue_that_is_zero_to_rounding_is_not_negative() -> None:
    assert negative_eigenvalues(spectrum([-2.0, -0.5, 0.0, 1.0, 3.0])) == 2
    assert negative_eigenvalues(torch.diag(torch.tensor([0.0, 1.0, -1e-17], dtype=torch.float64))) == 0

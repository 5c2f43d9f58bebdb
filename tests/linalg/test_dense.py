"""Dense solves and factorisations: inertia and refusals."""

from __future__ import annotations

import pytest
import torch

from rdc_dyn.linalg import Dense, Factorisation, materialise
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


def test_materialise_and_inertia() -> None:
    matrix = spectrum([-2.0, -0.5, 0.0, 1.0, 3.0])
    operator = Matrix(matrix)
    torch.testing.assert_close(materialise(operator), matrix)
    assert operator.products == 5
    assert Factorisation.of(matrix).negative == 2

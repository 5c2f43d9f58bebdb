"""A + σI = L Lᵀ: σ tells whether A is positive definite, and M is positive definite whatever A is."""

from __future__ import annotations

import pytest
import torch

from rdc_dyn.linalg.factorised import ShiftedCholesky
from tests.linalg.matrices import FLOAT64, spectrum


def test_a_positive_definite_matrix_is_not_shifted() -> None:
    matrix = spectrum([1e-6, 0.5, 1.0, 3.0])
    found = ShiftedCholesky.of(matrix)
    assert found.shift == 0.0
    assert found.most_negative is None
    torch.testing.assert_close(found.apply(torch.eye(4, dtype=FLOAT64)) @ matrix, torch.eye(4, dtype=FLOAT64))


@pytest.mark.parametrize("lowest", [-2.0, -1e-2, -1e-7])
def test_the_shift_is_just_enough_and_the_descent_direction_known(lowest: float) -> None:
    matrix = spectrum([lowest, 1e-3, 1.0, 3.0])
    found = ShiftedCholesky.of(matrix)
    assert -lowest < found.shift <= max(1e-5 * 3.0, -4 * lowest)
    inverse = found.apply(torch.eye(4, dtype=FLOAT64))
    torch.testing.assert_close(inverse @ (matrix + found.shift * torch.eye(4)), torch.eye(4, dtype=FLOAT64))
    assert found.most_negative is not None
    value, vector = found.most_negative
    assert value == pytest.approx(lowest, rel=1e-6)
    torch.testing.assert_close(matrix @ vector, lowest * vector, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("values", [[0.0, 0.0, 0.0], [0.0, 1.0, 2.0]])
def test_a_zero_mode_is_shifted_but_not_negative(values: list[float]) -> None:
    found = ShiftedCholesky.of(torch.diag(torch.tensor(values, dtype=FLOAT64)))
    assert found.shift > 0
    assert found.most_negative is None

"""The limited-memory BFGS inverse against the two-loop recursion, and the choice of pairs."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rdc_dyn.linalg.limited_memory import ConjugatePairs, LimitedMemory
from tests.linalg.matrices import FLOAT64, rows, spectrum


def two_loops(s: Tensor, y: Tensor, h0: Tensor, v: Tensor) -> Tensor:
    """H v as Nocedal (1980) writes it."""
    alphas = []
    for si, yi in zip(s.flip(0), y.flip(0)):
        alphas.append((si @ v) / (si @ yi))
        v = v - alphas[-1] * yi
    v = h0 @ v
    for si, yi, alpha in zip(s, y, reversed(alphas)):
        v = v + (alpha - (yi @ v) / (si @ yi)) * si
    return v


def positive_pairs(count: int, size: int, seed: int) -> tuple[Tensor, Tensor]:
    """Pairs of different matrices, with s·y > 0."""
    s = rows(count, size, seed)
    y = torch.stack([spectrum(torch.logspace(-2, 1, size), seed + i) @ si for i, si in enumerate(s)])
    return s, y


@given(count=st.integers(1, 8), size=st.integers(2, 12), seed=st.integers(0, 1000), scale=st.floats(0.01, 100))
@settings(max_examples=60, deadline=None)
def test_the_two_loop_recursion(count: int, size: int, seed: int, scale: float) -> None:
    s, y = positive_pairs(count, size, seed)
    h0, v = spectrum(torch.logspace(-1, 1, size), seed + 50), rows(3, size, seed + 60)
    found = LimitedMemory.of(s, y, scale).apply(lambda r: r @ h0, v)
    expected = torch.stack([two_loops(s, y, scale * h0, row) for row in v])
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-7 * float(expected.abs().max()))


@pytest.mark.parametrize("limit", [3, 9])
def test_one_pair_after_another(limit: int) -> None:
    s, y = positive_pairs(6, 9, 3)
    one_by_one = LimitedMemory.of(s[:1], y[:1], 0.7)
    for pair in zip(s[1:], y[1:]):
        one_by_one = one_by_one.after(*pair, limit)
    at_once = LimitedMemory.of(s[-limit:], y[-limit:], 0.7)
    assert len(one_by_one.s) == min(limit, 6)
    v = rows(2, 9, 5)
    torch.testing.assert_close(one_by_one.apply(lambda r: r, v), at_once.apply(lambda r: r, v), rtol=1e-9, atol=1e-9)


@given(count=st.integers(1, 8), size=st.integers(2, 12), seed=st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_positive_definite_and_symmetric_after_any_updates(count: int, size: int, seed: int) -> None:
    s, y = positive_pairs(count, size, seed)
    h0 = spectrum(torch.logspace(-2, 2, size), seed + 50)
    h = LimitedMemory.of(s, y, 1.0).apply(lambda r: r @ h0, torch.eye(size, dtype=FLOAT64))
    torch.testing.assert_close(h, h.T, rtol=1e-6, atol=1e-8 * float(h.abs().max()))
    values = torch.linalg.eigvalsh(0.5 * (h + h.T))
    assert float(values[0]) > -1e-12 * float(values[-1])


def test_the_last_secant_equation_holds() -> None:
    s, y = positive_pairs(5, 9, 3)
    found = LimitedMemory.of(s, y, 0.7).apply(lambda r: 2 * r, y[-1:])
    torch.testing.assert_close(found, s[-1:], rtol=1e-9, atol=1e-9)


def test_pairs_of_one_matrix_are_conjugated() -> None:
    matrix = spectrum(torch.logspace(-3, 0, 20))
    s = rows(6, 20)
    s = torch.cat([s, s[:1] + s[1:2]])  # a dependent direction
    pairs = ConjugatePairs.of(s, s @ matrix, lambda r: r, 10)
    assert pairs is not None
    assert len(pairs.s) == 6
    torch.testing.assert_close(pairs.s @ pairs.y.T, torch.eye(6, dtype=FLOAT64), rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(pairs.y, pairs.s @ matrix, rtol=1e-9, atol=1e-9)


def test_what_m_treats_worst_is_kept() -> None:
    matrix = spectrum([1.0] * 10 + [1e-2, 1e2])
    vectors = torch.linalg.eigh(matrix)[1]
    pairs = ConjugatePairs.of(rows(12, 12), rows(12, 12) @ matrix, lambda r: r, 2)
    assert pairs is not None
    span = torch.linalg.qr(pairs.s.T)[0]
    for extreme in (vectors[:, 0], vectors[:, -1]):
        torch.testing.assert_close(span @ (span.T @ extreme), extreme, rtol=1e-6, atol=1e-6)
    assert pairs.scale == pytest.approx(1.0)


def test_directions_without_safe_curvature_are_left_out() -> None:
    matrix = spectrum([-1.0, 0.0, 1e-15, 1.0, 2.0])
    s = torch.linalg.eigh(matrix)[1].T.contiguous()
    pairs = ConjugatePairs.of(s, s @ matrix, lambda r: r, 10)
    assert pairs is not None
    assert len(pairs.s) == 2
    assert ConjugatePairs.of(s[:1], s[:1] @ matrix, lambda r: r, 10) is None
    assert ConjugatePairs.of(torch.full_like(s, torch.nan), s, lambda r: r, 10) is None

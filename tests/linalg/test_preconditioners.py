"""The preconditioner kept along a path: learning, the rule for rebuilding, kernels and counters."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rdc_dyn.linalg import ConjugateGradient, Factorised, Identity, Nystrom, Preconditioner, Recipe
from rdc_dyn.linalg.base import SymmetricOperator
from rdc_dyn.linalg.factorised import ShiftedCholesky
from tests.linalg.matrices import FLOAT64, Matrix, network_like, rows, spectrum, turning


@dataclass
class Counting:
    """The factorised recipe at a price of our own, with a list of the operators it was built at."""

    price: int
    built: list[SymmetricOperator] = field(default_factory=list)
    spectral = True

    def products(self, size: int) -> int:
        return self.price

    def build(self, operator: SymmetricOperator) -> ShiftedCholesky:
        self.built.append(operator)
        return Factorised().build(operator)


@pytest.mark.parametrize("recipe", [Identity(), Factorised(), Nystrom(4)])
@given(count=st.integers(1, 10), seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_exact_on_a_learned_span(recipe: Recipe, count: int, seed: int) -> None:
    old, new = spectrum(torch.logspace(-2, 1, 15), seed), spectrum(torch.logspace(-2, 1, 15), seed + 1)
    inverse = Preconditioner(recipe, memory=10)
    inverse.prepare(Matrix(old))
    s = rows(count, 15, seed + 2)
    inverse.learn(s, s @ new)
    torch.testing.assert_close(inverse.apply(s @ new), s, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(inverse.apply((s @ new)[-1]), s[-1], rtol=1e-6, atol=1e-6)


@given(updates=st.integers(1, 6), seed=st.integers(0, 1000), memory=st.integers(1, 12))
@settings(max_examples=40, deadline=None)
def test_positive_definite_after_random_updates(updates: int, seed: int, memory: int) -> None:
    inverse = Preconditioner(Factorised(), memory)
    inverse.prepare(Matrix(spectrum(torch.logspace(-3, 0, 12), seed)))
    for i in range(updates):
        s = rows(5, 12, seed + i)
        matrix = spectrum(rows(1, 12, seed + i)[0] if i % 2 else torch.logspace(-3, 0, 12), seed + 7 * i)
        inverse.learn(s, s @ matrix)
    m = inverse.apply(torch.eye(12, dtype=FLOAT64))
    torch.testing.assert_close(m, m.T, rtol=1e-5, atol=1e-7 * float(m.abs().max()))
    values = torch.linalg.eigvalsh(0.5 * (m + m.T))
    assert float(values[0]) > -1e-10 * float(values[-1])


def test_a_full_memory_forgets_the_oldest() -> None:
    a, b, c = (spectrum(torch.logspace(-1, 1, 12), seed) for seed in (1, 2, 3))
    inverse = Preconditioner(memory=4)
    inverse.prepare(Matrix(a))
    s = [rows(2, 12, seed) for seed in (4, 5, 6)]
    for directions, matrix in zip(s, (a, b, c)):
        inverse.learn(directions, directions @ matrix)
    without = Preconditioner(memory=4)
    without.prepare(Matrix(a))
    for directions, matrix in zip(s[1:], (b, c)):
        without.learn(directions, directions @ matrix)
    v = rows(3, 12, 8)
    torch.testing.assert_close(inverse.apply(v), without.apply(v), rtol=1e-9, atol=1e-9)


def test_no_memory_learns_nothing() -> None:
    inverse, matrix = Preconditioner(memory=0), spectrum(torch.logspace(-1, 1, 8))
    inverse.prepare(Matrix(matrix))
    inverse.learn(rows(3, 8), rows(3, 8) @ matrix)
    assert torch.equal(inverse.apply(rows(2, 8)), rows(2, 8))


def test_apply_stays_orthogonal_to_the_kernel_at_hand() -> None:
    matrix = spectrum(torch.logspace(-1, 1, 10))
    inverse = Preconditioner(Factorised())
    inverse.prepare(Matrix(matrix))
    s = rows(3, 10)
    inverse.learn(s, s @ spectrum(torch.logspace(-1, 1, 10), seed=4))
    kernel, _ = torch.linalg.qr(rows(2, 10, 3).T)
    inverse.prepare(Matrix(matrix, kernel=kernel.T))
    assert float((inverse.apply(rows(4, 10, 9)) @ kernel).abs().max()) < 1e-12
    assert float(inverse.apply(kernel.T).abs().max()) < 1e-12
    assert inverse.apply(rows(1, 10)[0]).shape == (10,)


def test_refresh_knows_the_operator_it_was_built_at() -> None:
    here, there = Matrix(spectrum([1.0, 2.0])), Matrix(spectrum([1.0, 3.0]))
    inverse = Preconditioner(Factorised())
    inverse.prepare(here)
    assert not inverse.refresh(here)
    assert inverse.refresh(there)
    assert not inverse.refresh(there)
    assert inverse.refresh(here)
    assert (inverse.builds, inverse.products) == (3, 6)
    assert not Preconditioner(Identity()).refresh(here) or Preconditioner(Identity()).builds == 0


def test_the_identity_is_built_once_and_cannot_be_refreshed() -> None:
    inverse = Preconditioner()
    inverse.prepare(Matrix(spectrum([1.0, 2.0])))
    inverse.report(10)
    inverse.report(1000)
    inverse.prepare(Matrix(spectrum([1.0, 3.0])))
    assert not inverse.refresh(Matrix(spectrum([1.0, 4.0])))
    assert (inverse.builds, inverse.products) == (1, 0)


def test_the_operator_is_not_kept_alive() -> None:
    import weakref

    inverse, operator = Preconditioner(Factorised()), Matrix(spectrum([1.0, 2.0]))
    inverse.prepare(operator)
    gone = weakref.ref(operator)
    del operator
    assert gone() is None


def test_negative_curvature_is_told_where_the_recipe_sees_it() -> None:
    saddle, minimum = Matrix(spectrum([-0.5, 1.0, 2.0])), Matrix(spectrum([0.5, 1.0, 2.0]))
    inverse = Preconditioner(Factorised())
    inverse.prepare(minimum)
    assert inverse.most_negative(minimum) is None
    found = inverse.most_negative(saddle)
    assert found is not None
    assert found[0] == pytest.approx(-0.5)
    torch.testing.assert_close(saddle.matrix @ found[1], -0.5 * found[1])
    assert inverse.builds == 2
    blind = Preconditioner(Nystrom(3))
    assert blind.most_negative(saddle) is None
    assert blind.builds == 0


def test_rent_or_buy() -> None:
    """The first solve sets what is free, per right-hand side; what later ones take beyond it adds up to the price."""
    recipe, operators = Counting(price=100), [Matrix(spectrum([1.0, 2.0])) for _ in range(6)]
    inverse = Preconditioner(recipe, patience=0.5)
    inverse.prepare(operators[0])
    inverse.report(20, 2)  # 10 for each right-hand side
    inverse.prepare(operators[1])
    inverse.report(30, 3)  # no more than the first: free
    inverse.report(5)  # less than the first saves nothing for later
    inverse.prepare(operators[2])
    inverse.report(60)  # 50 too many, just the limit
    inverse.prepare(operators[3])
    assert recipe.built == [operators[0]]
    inverse.report(11)  # one more
    inverse.prepare(operators[4])
    assert recipe.built == [operators[0], operators[4]]
    inverse.report(70)  # the new standard
    inverse.report(70)
    inverse.prepare(operators[5])
    assert inverse.builds == 2
    assert inverse.products == 200


@pytest.mark.parametrize("recipe", [Factorised(), Nystrom(30)])
def test_updates_lower_the_products_along_a_path(recipe: Recipe) -> None:
    matrices, b = list(turning(network_like(120), 12, 0.004)), rows(2, 120)
    spent = {}
    for memory in (0, 40):
        solver = ConjugateGradient(1e-8, preconditioner=Preconditioner(recipe, memory, patience=1e9))
        solutions = [solver.solve(Matrix(matrix), b @ matrix) for matrix in matrices]
        assert all(solution.failure is None for solution in solutions)
        assert solver.preconditioner.builds == 1
        spent[memory] = sum(solution.iterations for solution in solutions)
    assert spent[40] < 0.75 * spent[0]


@pytest.mark.slow
def test_rebuilding_by_the_rule_beats_never_and_always() -> None:
    """A path that turns so fast that the updates alone do not keep up."""
    matrices, b = list(turning(network_like(120), 25, 0.05)), rows(2, 120)
    spent, builds = {}, {}
    for patience in (1e9, 1.0, 0.0):
        solver = ConjugateGradient(1e-8, 50_000, preconditioner=Preconditioner(Factorised(), 40, patience))
        operators = [Matrix(matrix) for matrix in matrices]
        for operator in operators:
            assert solver.solve(operator, b @ operator.matrix).failure is None
        spent[patience] = sum(operator.products for operator in operators)
        builds[patience] = solver.preconditioner.builds
    assert builds[1e9] == 1 < builds[1.0] < builds[0.0]
    assert spent[1.0] < spent[1e9]
    assert spent[1.0] < spent[0.0]

"""What all solvers promise: against dense solves, with zero modes, dependent right-hand sides and warm starts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rdc_dyn.linalg import (
    ConjugateGradient,
    Dense,
    Factorised,
    Identity,
    LinearSolver,
    Minres,
    Nystrom,
    Preconditioner,
    Recipe,
)
from rdc_dyn.status import NumericalFailure, Status
from tests.linalg.matrices import FLOAT64, Matrix, relative_residual, rows, spectrum

RECIPES: dict[str, Callable[[], Recipe]] = {"none": Identity, "factor": Factorised, "nystrom": lambda: Nystrom(10)}
METHODS: dict[str, type[ConjugateGradient] | type[Minres]] = {"cg": ConjugateGradient, "minres": Minres}
KRYLOV: dict[str, Callable[[float], LinearSolver]] = {
    f"{method} {recipe}": lambda rtol, m=method, r=recipe: METHODS[m](  # type: ignore[misc]
        rtol, 5000, preconditioner=Preconditioner(RECIPES[r]())
    )
    for method in METHODS
    for recipe in RECIPES
}
SOLVERS: dict[str, Callable[[float], LinearSolver]] = {**KRYLOV, "dense": lambda rtol: Dense()}
krylov = pytest.mark.parametrize("name", KRYLOV)
solvers = pytest.mark.parametrize("name", SOLVERS)


@solvers
def test_definite_system(name: str) -> None:
    matrix, b = spectrum(torch.logspace(-3, 1, 40)), rows(3, 40)
    solution = SOLVERS[name](1e-11).solve(Matrix(matrix), b)
    assert solution.failure is None
    torch.testing.assert_close(solution.value, torch.linalg.solve(matrix, b.T).T, rtol=1e-6, atol=1e-6)
    assert solution.residual == pytest.approx(relative_residual(matrix, solution.value, b), rel=0.5, abs=1e-12)
    assert solution.residual <= 1e-11


@krylov
@given(
    size=st.integers(2, 25),
    count=st.integers(1, 4),
    decades=st.floats(0, 4),
    seed=st.integers(0, 1000),
    norms=st.lists(st.floats(-8, 8), min_size=4, max_size=4),
)
@settings(max_examples=25, deadline=None)
def test_any_definite_system(name: str, size: int, count: int, decades: float, seed: int, norms: list[float]) -> None:
    matrix = spectrum(torch.logspace(-decades, 0, size), seed)
    b = rows(count, size, seed + 1) * 10 ** torch.tensor(norms[:count], dtype=FLOAT64)[:, None]
    solution = KRYLOV[name](1e-9).solve(Matrix(matrix), b)
    assert solution.failure is None
    assert relative_residual(matrix, solution.value, b) <= 1.01e-9
    assert solution.residual <= 1e-9


@krylov
def test_float32(name: str) -> None:
    matrix, b = spectrum(torch.logspace(-2, 0, 60)).float(), rows(3, 60, dtype=torch.float32)
    solver = KRYLOV[name](1e-4)
    for _ in range(2):  # the second with learned pairs
        solution = solver.solve(Matrix(matrix), b)
        assert solution.failure is None
        assert solution.value.dtype == torch.float32
        expected = torch.linalg.solve(matrix.double(), b.double().T).T
        torch.testing.assert_close(solution.value.double(), expected, rtol=0, atol=2e-2 * float(expected.abs().max()))


@solvers
def test_zero_right_hand_sides(name: str) -> None:
    matrix, b = spectrum(torch.logspace(-2, 0, 20)), rows(3, 20)
    b[1] = 0.0
    solution = SOLVERS[name](1e-10).solve(Matrix(matrix), b, start=rows(3, 20))
    assert solution.failure is None
    torch.testing.assert_close(solution.value, torch.linalg.solve(matrix, b.T).T, rtol=1e-6, atol=1e-8)
    assert float(solution.value[1].norm()) == 0.0
    operator = Matrix(matrix)
    nothing = SOLVERS[name](1e-10).solve(operator, torch.zeros_like(b))
    assert nothing.failure is None
    assert float(nothing.value.norm()) == 0.0
    assert nothing.iterations == 0


@krylov
@pytest.mark.parametrize("factor", [1.0, -3.0, 1e-9])
def test_dependent_right_hand_sides(name: str, factor: float) -> None:
    matrix, b = spectrum(torch.logspace(-3, 0, 50)), rows(1, 50)
    b = torch.cat([b, factor * b, rows(1, 50, seed=2)])
    b = torch.cat([b, b[:1] + b[2:]])
    solution = KRYLOV[name](1e-10).solve(Matrix(matrix), b)
    assert solution.failure is None
    assert relative_residual(matrix, solution.value, b) <= 1.01e-10


@krylov
def test_right_hand_sides_that_converge_at_different_times(name: str) -> None:
    matrix = spectrum(torch.logspace(-5, 0, 80))
    eigenvectors = torch.linalg.eigh(matrix)[1].T
    b = torch.stack([eigenvectors[3], rows(1, 80)[0], eigenvectors[70] + eigenvectors[71]])
    operator = Matrix(matrix)
    solution = KRYLOV[name](1e-9).solve(operator, b)
    assert solution.failure is None
    assert relative_residual(matrix, solution.value, b) <= 1.01e-9


@solvers
def test_declared_kernel_restricts_the_system(name: str) -> None:
    """Off an equilibrium A n is not zero; the solution must be that of the restriction, whatever n·A n is."""
    matrix = spectrum([-0.1, 0.5, 1.0, 2.0, 4.0, 5.0])
    eigenvectors = torch.linalg.eigh(matrix)[1]
    n = eigenvectors[:, 0] + 0.02 * eigenvectors[:, 3]
    n = (n / n.norm())[None]
    projector = torch.eye(6, dtype=FLOAT64) - n.T @ n
    b = rows(2, 6) @ projector
    solver = SOLVERS[name](1e-12)
    expected = b @ torch.linalg.pinv(projector @ matrix @ projector, hermitian=True, rtol=1e-9)
    for _ in range(2):  # the second with learned pairs
        solution = solver.solve(Matrix(matrix, kernel=n), b, start=rows(2, 6, seed=4))
        assert solution.failure is None
        torch.testing.assert_close(solution.value, expected, rtol=1e-8, atol=1e-8)
        assert float((solution.value @ n.T).abs().max()) < 1e-12


@pytest.mark.parametrize("name", ["cg none", "minres none", "dense"])
def test_zero_mode_gives_the_minimum_norm_solution(name: str) -> None:
    matrix = spectrum([0.0, 0.5, 1.0, 2.0, 4.0])
    b = rows(2, 5) @ matrix
    solution = SOLVERS[name](1e-12).solve(Matrix(matrix), b)
    assert solution.failure is None
    torch.testing.assert_close(solution.value, b @ torch.linalg.pinv(matrix), rtol=1e-8, atol=1e-8)


@krylov
def test_a_warm_start_from_the_solution_costs_the_residual_and_nothing_else(name: str) -> None:
    matrix, b = spectrum(torch.logspace(-3, 0, 30)), rows(2, 30)
    solver = KRYLOV[name](1e-8)
    exact = torch.linalg.solve(matrix, b.T).T
    operator = Matrix(matrix)
    solver.solve(operator, b)
    operator.products = 0
    solution = solver.solve(operator, b, start=exact)
    assert solution.failure is None
    assert solution.iterations == operator.products == 2
    torch.testing.assert_close(solution.value, exact, rtol=1e-12, atol=1e-12)


@krylov
def test_a_start_worse_than_zero_is_not_used(name: str) -> None:
    matrix, b = spectrum(torch.logspace(-3, 0, 30)), rows(2, 30)
    cold = KRYLOV[name](1e-8).solve(Matrix(matrix), b)
    misled = KRYLOV[name](1e-8).solve(Matrix(matrix), b, start=1e9 * rows(2, 30, seed=3))
    assert misled.failure is None
    assert torch.equal(misled.value, cold.value)
    assert misled.iterations == cold.iterations + 2


@pytest.mark.parametrize("name", [name for name in KRYLOV if "factor" not in name])  # where there is something to save
def test_a_warm_start_near_the_solution_saves_iterations(name: str) -> None:
    matrix, b = spectrum(torch.logspace(-3, 0, 60)), rows(1, 60)
    exact = torch.linalg.solve(matrix, b.T).T
    cold = KRYLOV[name](1e-8).solve(Matrix(matrix), b)
    warm = KRYLOV[name](1e-8).solve(
        Matrix(matrix), b, start=exact + 1e-7 * exact.norm() * rows(1, 60, seed=5) / 60**0.5
    )
    assert warm.failure is None
    assert relative_residual(matrix, warm.value, b) <= 1.01e-8
    assert warm.iterations < 0.7 * cold.iterations


@krylov
def test_the_iterations_are_the_products(name: str) -> None:
    matrix, b = spectrum(torch.logspace(-3, 0, 40)), rows(2, 40)
    solver, operator = KRYLOV[name](1e-8), Matrix(matrix)
    solver.solve(operator, b)
    operator.products = 0
    solution = solver.solve(operator, b)
    # The true residual of each right-hand side at the end of a pass, of which there are at most two here.
    assert 2 <= operator.products - solution.iterations <= 4


@krylov
def test_a_loose_tolerance_is_met_without_a_product_to_check_it(name: str) -> None:
    matrix, b = spectrum(torch.logspace(-6, 0, 40)), rows(2, 40)
    operator = Matrix(matrix)
    solution = KRYLOV[name](1e-2).solve(operator, b)
    assert solution.failure is None
    assert relative_residual(matrix, solution.value, b) <= 1.01e-2


@krylov
def test_bit_equal_twice(name: str) -> None:
    matrix, b = spectrum(torch.logspace(-4, 0, 60)), rows(3, 60)
    values = []
    for _ in range(2):
        solver = KRYLOV[name](1e-9)
        values.append([solver.solve(Matrix(matrix), b).value for _ in range(3)])
    assert all(torch.equal(one, other) for one, other in zip(*values))


@pytest.mark.parametrize("method", METHODS)
def test_iteration_limit_is_a_status_with_the_true_residual(method: str) -> None:
    matrix, b = spectrum(torch.logspace(-8, 0, 60)), rows(1, 60)
    solution = METHODS[method](1e-10, max_iterations=5).solve(Matrix(matrix), b)
    assert solution.failure is Status.KRYLOV_MAX_ITERATIONS
    assert solution.iterations == 5
    assert solution.residual > 1e-10
    assert bool(solution.value.isnan().all())


@pytest.mark.parametrize("method", METHODS)
def test_a_tolerance_below_rounding_is_a_status(method: str) -> None:
    matrix, b = spectrum(torch.logspace(-3, 0, 40)).float(), rows(2, 40, dtype=torch.float32)
    solution = METHODS[method](1e-9, max_iterations=100_000).solve(Matrix(matrix), b)
    assert solution.failure is Status.KRYLOV_STAGNATED
    assert solution.iterations < 2000


@pytest.mark.parametrize("method", METHODS)
def test_a_solve_that_runs_out_of_iterations_is_tried_once_more_with_a_new_factor(method: str) -> None:
    old, new = spectrum(torch.logspace(-6, 0, 80)), spectrum(torch.logspace(-6, 0, 80), seed=5)
    preconditioner, b = Preconditioner(Factorised()), rows(2, 80)
    solver = METHODS[method](1e-8, 20, preconditioner=preconditioner)
    assert solver.solve(Matrix(old), b).failure is None
    solution = solver.solve(Matrix(new), b)
    assert solution.failure is None
    assert relative_residual(new, solution.value, b) <= 1.01e-8
    assert preconditioner.builds == 2
    assert solution.iterations >= 20


@pytest.mark.parametrize("method", METHODS)
def test_non_finite_product_is_a_status(method: str) -> None:
    matrix = spectrum([1.0, 2.0, 3.0])
    matrix[0, 0] = torch.nan
    solution = METHODS[method](1e-10).solve(Matrix(matrix), rows(2, 3))
    assert solution.failure is Status.NON_FINITE
    assert bool(solution.value.isnan().all())
    solver = METHODS[method](1e-10, preconditioner=Preconditioner(Factorised()))
    with pytest.raises(NumericalFailure) as failure:
        solver.solve(Matrix(matrix), rows(1, 3))
    assert failure.value.status is Status.NON_FINITE


@pytest.mark.parametrize("solver", [ConjugateGradient(1e-12, damping=0.3), Minres(1e-12, damping=0.3), Dense(0.3)])
def test_damping_solves_the_damped_system(solver: LinearSolver) -> None:
    matrix, b = spectrum([0.1, 0.5, 2.0]), rows(1, 3)
    expected = torch.linalg.solve(matrix + 0.3 * torch.eye(3, dtype=FLOAT64), b.T).T
    torch.testing.assert_close(solver.solve(Matrix(matrix), b).value, expected)

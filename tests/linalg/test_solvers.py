"""Krylov and dense solvers against numpy, with zero modes, negative curvature and limits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor

from rdc_dyn.linalg import ConjugateGradient, Dense, Factorisation, Factorised, Identity, LinearSolver, materialise
from rdc_dyn.status import NumericalFailure, Status


@dataclass
class Matrix:
    """A dense matrix as an operator that counts its products."""

    matrix: Tensor
    kernel: Tensor = field(default_factory=lambda: torch.zeros(0, 0, dtype=torch.float64))
    products: int = 0

    def __post_init__(self) -> None:
        if self.kernel.numel() == 0:
            self.kernel = self.matrix.new_zeros((0, self.size))

    @property
    def size(self) -> int:
        return self.matrix.shape[0]

    def mv(self, v: Tensor) -> Tensor:
        self.products += 1
        return self.matrix @ v

    def mm(self, rows: Tensor) -> Tensor:
        self.products += rows.shape[0]
        return rows @ self.matrix


def spectrum(values: list[float] | Tensor, seed: int = 0) -> Tensor:
    values = torch.as_tensor(values, dtype=torch.float64)
    g = torch.Generator().manual_seed(seed)
    q, _ = torch.linalg.qr(torch.randn(len(values), len(values), generator=g, dtype=torch.float64))
    return q @ torch.diag(values) @ q.T


def rows(count: int, size: int) -> Tensor:
    return torch.randn(count, size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


SOLVERS: dict[str, Callable[[], LinearSolver]] = {
    "cg": lambda: ConjugateGradient(1e-12),
    "preconditioned cg": lambda: ConjugateGradient(1e-12, preconditioner=Factorised()),
    "dense": Dense,
}


@pytest.mark.parametrize("name", SOLVERS)
def test_definite_system(name: str) -> None:
    matrix, b = spectrum(torch.logspace(-3, 1, 40)), rows(3, 40)
    solution = SOLVERS[name]().solve(Matrix(matrix), b)
    assert solution.failure is None
    torch.testing.assert_close(solution.value, torch.linalg.solve(matrix, b.T).T, rtol=1e-7, atol=1e-7)
    true = float(((solution.value @ matrix - b).norm(dim=1) / b.norm(dim=1)).max())
    assert solution.residual == pytest.approx(true, rel=0.5, abs=1e-15)
    assert solution.residual < 1e-11


@pytest.mark.parametrize("name", ["cg", "dense"])
def test_indefinite_system_is_reported_and_no_vector_returned(name: str) -> None:
    solution = SOLVERS[name]().solve(Matrix(spectrum([-0.5, 1.0, 2.0, 3.0])), rows(1, 4))
    assert solution.failure is Status.INDEFINITE
    assert bool(solution.value.isnan().all())


def test_preconditioned_cg_reports_indefinite() -> None:
    solver = ConjugateGradient(1e-12, preconditioner=Factorised())
    assert solver.solve(Matrix(spectrum([-0.5, 1.0, 2.0, 3.0])), rows(1, 4)).failure is Status.INDEFINITE


@pytest.mark.parametrize("name", ["cg", "dense"])
def test_zero_mode_gives_the_minimum_norm_solution(name: str) -> None:
    matrix = spectrum([0.0, 0.5, 1.0, 2.0, 4.0])
    b = rows(2, 5) @ matrix
    solution = SOLVERS[name]().solve(Matrix(matrix), b)
    assert solution.failure is None
    torch.testing.assert_close(solution.value, b @ torch.linalg.pinv(matrix), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", SOLVERS)
def test_declared_kernel_restricts_the_system(name: str) -> None:
    """Off an equilibrium A n is not zero; the solution must be that of the restriction, whatever n·A n is."""
    matrix = spectrum([-0.1, 0.5, 1.0, 2.0, 4.0, 5.0])
    eigenvectors = torch.linalg.eigh(matrix)[1]
    n = eigenvectors[:, 0] + 0.02 * eigenvectors[:, 3]
    n = (n / n.norm())[None]
    projector = torch.eye(6, dtype=torch.float64) - n.T @ n
    b = rows(2, 6) @ projector
    solution = SOLVERS[name]().solve(Matrix(matrix, kernel=n), b)
    assert solution.failure is None
    expected = b @ torch.linalg.pinv(projector @ matrix @ projector, hermitian=True, rtol=1e-9)
    torch.testing.assert_close(solution.value, expected, rtol=1e-8, atol=1e-8)


def test_dense_refuses_an_inconsistent_right_hand_side() -> None:
    matrix = spectrum([0.0, 0.5, 1.0, 2.0])
    assert Dense().solve(Matrix(matrix), rows(1, 4)).failure is Status.SINGULAR


def test_iteration_limit_is_a_status_with_the_true_residual() -> None:
    matrix, b = spectrum(torch.logspace(-8, 0, 60)), rows(1, 60)
    solution = ConjugateGradient(1e-10, max_iterations=5).solve(Matrix(matrix), b)
    assert solution.failure is Status.KRYLOV_MAX_ITERATIONS
    assert solution.iterations == 5
    assert solution.residual > 1e-10


def test_zero_right_hand_side() -> None:
    solution = ConjugateGradient(1e-10).solve(Matrix(spectrum([1.0, 2.0])), torch.zeros(1, 2, dtype=torch.float64))
    assert solution.failure is None
    assert float(solution.value.norm()) == 0.0


def test_non_finite_product_is_a_status() -> None:
    matrix = spectrum([1.0, 2.0, 3.0])
    matrix[0, 0] = torch.nan
    assert ConjugateGradient(1e-10).solve(Matrix(matrix), rows(1, 3)).failure is Status.NON_FINITE
    with pytest.raises(NumericalFailure) as failure:
        Dense().solve(Matrix(matrix), rows(1, 3))
    assert failure.value.status is Status.NON_FINITE


@pytest.mark.parametrize("solver", [ConjugateGradient(1e-12, damping=0.3), Dense(damping=0.3)])
def test_damping_solves_the_damped_system(solver: LinearSolver) -> None:
    matrix, b = spectrum([0.1, 0.5, 2.0]), rows(1, 3)
    expected = torch.linalg.solve(matrix + 0.3 * torch.eye(3, dtype=torch.float64), b.T).T
    torch.testing.assert_close(solver.solve(Matrix(matrix), b).value, expected)


def test_kept_factor_saves_iterations_and_is_refreshed_when_it_has_aged() -> None:
    values = torch.logspace(-6, 0, 80)
    old, near, far = spectrum(values), spectrum(values * (1 + 0.1 * torch.rand(80))), spectrum(values, seed=5)
    preconditioner = Factorised(refresh_after=20)
    solver = ConjugateGradient(1e-8, 2000, 0.0, preconditioner)
    b = rows(1, 80)
    assert solver.solve(Matrix(old), b).iterations <= 3
    assert solver.solve(Matrix(near), b).iterations <= 30
    assert preconditioner.factorisations == 1
    slow = solver.solve(Matrix(far), b)
    assert slow.failure is None
    assert slow.iterations > 20
    assert solver.solve(Matrix(far), b).iterations <= 3
    assert preconditioner.factorisations == 2


def test_materialise_and_inertia() -> None:
    matrix = spectrum([-2.0, -0.5, 0.0, 1.0, 3.0])
    operator = Matrix(matrix)
    torch.testing.assert_close(materialise(operator), matrix)
    assert operator.products == 5
    factor = Factorisation.of(matrix)
    assert factor.negative == 2
    assert factor.most_negative is not None
    assert factor.most_negative[0] == pytest.approx(-2.0)


def test_modified_solve_is_positive_definite() -> None:
    factor = Factorisation.of(spectrum([-2.0, -0.5, 1e-3, 1.0, 3.0]))
    v = rows(20, 5)
    assert bool(((factor.modified_solve(v) * v).sum(1) > 0).all())


def test_identity_preconditioner_cannot_be_refreshed() -> None:
    assert Identity().refresh(Matrix(spectrum([1.0]))) is False

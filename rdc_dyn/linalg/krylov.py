"""u ← u + K(b − A u): a Krylov iteration K, restarted from the true residual until |b − A u| ≤ rtol |b|."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor

from rdc_dyn.linalg.base import LinearSolution, Rows, SymmetricOperator, products, project_out
from rdc_dyn.linalg.preconditioner import Preconditioner
from rdc_dyn.status import Status

#: Failures that a better M may cure.
_SLOW = (Status.KRYLOV_MAX_ITERATIONS, Status.KRYLOV_STAGNATED)
#: A pass that leaves more than this share of the worst residual is limited by rounding.
_PROGRESS = 0.9
#: A pass aims slightly below the tolerance, since two ways to compute a norm may disagree in the last bit.
_AIM = 0.999


@dataclass(frozen=True)
class System:
    """A + damping I on the complement of the kernel, its preconditioner, and what a solve learns about it.

    Attributes:
        pairs: The first blocks (s, y) met, for the preconditioner to learn from.
    """

    operator: SymmetricOperator
    preconditioner: Preconditioner
    damping: float
    pairs: list[tuple[Rows, Rows]] = field(default_factory=list)

    def product(self, rows: Rows) -> Rows:
        """(A + damping I) v for each row v; as many pairs as the preconditioner wants are recorded."""
        image = products(self.operator, rows, self.damping)
        if sum(len(s) for s, _ in self.pairs) < self.preconditioner.window:
            self.pairs.append((rows, image))
        return image

    def residual(self, b: Rows, u: Rows) -> Rows:
        """b − (A + damping I) u."""
        return b - products(self.operator, u, self.damping)

    def energies(self, r: Rows) -> Float[Tensor, "k"]:
        """rᵀMr of each row r."""
        return (r * self.preconditioner.apply(r)).sum(1)

    def teach(self) -> None:
        """Hand the recorded pairs to the preconditioner."""
        if self.pairs:
            s, y = zip(*self.pairs)
            self.preconditioner.learn(torch.cat(s), torch.cat(y))
            self.pairs.clear()


@dataclass(frozen=True)
class Pass:
    """Result of one run of a Krylov iteration, started from zero.

    Attributes:
        value: Approximate solutions u of A u = r.
        iterations: Iterations, each of one product for every right-hand side not yet solved.
        failure: None, INDEFINITE or NON_FINITE.
        residual: r − A u according to the recurrence, or None where it gives none.
    """

    value: Rows
    iterations: int
    products: int
    failure: Status | None
    residual: Rows | None = None


#: Beyond this many iterations a recurrence may have drifted.
_FEW = 50


@dataclass(frozen=True)
class Goal:
    """How small a residual r is to become: |r| ≤ `norm` and, where that is asked for, rᵀMr ≤ `energy`.

    rᵀMr ≈ rᵀA⁻¹r is the error of b·u + u·r, of second order in that of u.

    Attributes:
        energy: One number for each right-hand side, or None.
    """

    norm: float
    energy: Float[Tensor, "k"] | None = None

    def size(self, norms: Float[Tensor, "k"], energies: Float[Tensor, "k"]) -> Float[Tensor, "k"]:
        """What is to become as small as `norm`: |r|, or more where rᵀMr lags behind."""
        if self.energy is None:
            return norms
        limits = self.energy.to(energies).clamp_min(torch.finfo(energies.dtype).tiny)
        return torch.maximum(norms, self.norm * (energies / limits).clamp_min(0.0).sqrt().to(norms))

    def of(self, rows: Float[Tensor, "k"]) -> Goal:
        """The goal of the rows where a mask is true."""
        return self if self.energy is None else Goal(self.norm, self.energy[rows])


#: (system, residuals r, goal, iteration limit) → pass.
Iteration = Callable[[System, Rows, Goal, int], Pass]


@dataclass(frozen=True)
class _Progress:
    """Where a solve stands: u, b − A u, products spent, worst relative residual, and why it ended."""

    value: Rows
    left: Rows
    products: int
    residual: float
    failure: Status | None


def solve(
    iteration: Iteration,
    system: System,
    rhs: Rows,
    rtol: float,
    max_iterations: int,
    start: Rows | None,
    quadratic: float | None = None,
) -> LinearSolution:
    """Solve A u = b for each row b of `rhs`; a slow or stalled solve is tried once more with a rebuilt M.

    `max_iterations` holds for each right-hand side; a first guess that is worse than zero is not used. With `quadratic`
    the error of b·u + u·r, as M estimates it, is to be at most that share of bᵀA⁻¹b.
    """
    system.preconditioner.prepare(system.operator)
    kernel = system.operator.kernel
    rhs = project_out(kernel, rhs)
    norms = rhs.norm(dim=1, keepdim=True)
    scale = torch.where(norms > 0, norms, 1.0)
    begin = None if start is None else torch.where(norms > 0, project_out(kernel, start) / scale, 0.0)
    b, goal = rhs / scale, Goal(rtol)
    if quadratic is not None:
        goal = Goal(rtol, quadratic * system.energies(b))
    end = _restarted(iteration, system, b, begin, goal, max_iterations)
    spent = end.products
    if end.failure in _SLOW and system.preconditioner.refresh(system.operator):
        system.pairs.clear()
        end = _restarted(iteration, system, b, end.value, goal, max_iterations)
        spent += end.products
    if end.failure is None or end.failure in _SLOW:
        system.teach()
    if end.failure is not None:
        nothing = torch.full_like(rhs, torch.nan)
        return LinearSolution(nothing, end.failure, spent, end.residual, nothing, nothing @ nothing.T)
    system.preconditioner.report(end.products, len(rhs))
    left = end.left * scale
    energy = left @ system.preconditioner.apply(left).T
    return LinearSolution(end.value * scale, None, spent, end.residual, left, energy)


def _trusted(done: Pass, rtol: float, b: Rows) -> bool:
    """Whether the residual of the recurrence can go unchecked by a product.

    It differs from the true one by rounding, about eps |A| |u| in every iteration, and |A| |u| is at most κ |b|. With a
    condition number of up to 1e7, a few dozen iterations stay far below a tolerance of 1e3 √eps.
    """
    return done.iterations <= _FEW and rtol >= 1e3 * torch.finfo(b.dtype).eps ** 0.5


def _restarted(iteration: Iteration, system: System, b: Rows, start: Rows | None, goal: Goal, budget: int) -> _Progress:
    """Run passes on the unsolved right-hand sides while the worst residual falls; no residual ever rises."""

    def sizes(r: Rows) -> Tensor:
        norms = r.norm(dim=1)
        return norms if goal.energy is None else goal.size(norms, system.energies(r))

    u = torch.zeros_like(b) if start is None else start
    r, spent, rtol = b, 0, goal.norm
    if start is not None:
        r, spent = system.residual(b, u), len(b)
        helps = r.norm(dim=1, keepdim=True) < b.norm(dim=1, keepdim=True)
        u, r = torch.where(helps, u, 0.0), torch.where(helps, r, b)
    size = sizes(r)
    worst = float(size.max())
    while not worst <= rtol:
        open_ = size > rtol
        done = iteration(system, r[open_], replace(goal.of(open_), norm=_AIM * rtol), budget)
        spent += done.products
        budget -= done.iterations
        if done.failure is not None:
            return _Progress(u, r, spent, torch.nan, done.failure)
        moved = u.index_put((open_,), u[open_] + done.value)
        told = done.residual if _trusted(done, rtol, b) else None
        left = r.index_put((open_,), system.residual(b[open_], moved[open_]) if told is None else told)
        better = left.norm(dim=1, keepdim=True) < r.norm(dim=1, keepdim=True)
        u, r = torch.where(better, moved, u), torch.where(better, left, r)
        size = sizes(r)
        before, worst = worst, float(size.max())
        if worst > rtol and budget <= 0:
            return _Progress(u, r, spent, worst, Status.KRYLOV_MAX_ITERATIONS)
        if worst > max(rtol, _PROGRESS * before):
            return _Progress(u, r, spent, worst, Status.KRYLOV_STAGNATED)
    return _Progress(u, r, spent, float(r.norm(dim=1).max()), None)

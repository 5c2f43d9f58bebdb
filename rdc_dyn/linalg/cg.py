"""min ½uᵀAu − bᵀu over a block Krylov space: conjugate gradients for several right-hand sides at once."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from rdc_dyn.linalg.base import LinearSolution, Rows, SymmetricOperator
from rdc_dyn.linalg.krylov import Goal, Pass, System, solve
from rdc_dyn.linalg.limited_memory import small
from rdc_dyn.linalg.preconditioner import Preconditioner
from rdc_dyn.status import Status


@dataclass(frozen=True)
class ConjugateGradient:
    """Solves (A + damping I) u = b to |b − A u| ≤ rtol |b| by block conjugate gradients (O'Leary 1980).

    With `quadratic`, rtol instead bounds the error of b·u + u·r as a share of bᵀA⁻¹b, and |r| need only fall to a
    hundredth of |b|; a call that names its own rtol asks for that of |r|.

    The residuals are kept as R = C Q, where the rows of Q are orthonormal in M (BCGrQ, Dubrulle 2001, with a
    preconditioner). A direction of Q that vanishes is dropped, so right-hand sides may be linearly dependent. For a
    single right-hand side this is the method of Hestenes & Stiefel (1952). Negative curvature in the block ends the
    solve with INDEFINITE and without a vector, since the last iterate would be meaningless.

    Attributes:
        max_iterations: Limit for each right-hand side.
        preconditioner: M, kept from solve to solve.
    """

    rtol: float = 1e-8
    max_iterations: int = 2000
    damping: float = 0.0
    preconditioner: Preconditioner = field(default_factory=Preconditioner)
    quadratic: bool = False

    def solve(
        self, operator: SymmetricOperator, rhs: Rows, *, rtol: float | None = None, start: Rows | None = None
    ) -> LinearSolution:
        """Solve for each row of `rhs`; a slow or stalled solve is tried once more with a rebuilt preconditioner."""
        system = System(operator, self.preconditioner, self.damping)
        if rtol is None and self.quadratic:
            return solve(_iterate, system, rhs, max(_LOOSE, self.rtol), self.max_iterations, start, self.rtol)
        return solve(_iterate, system, rhs, self.rtol if rtol is None else rtol, self.max_iterations, start)


#: |b − A u| / |b| of a u of which only b·u matters: 0.1 would leave u wrong where A is softest.
_LOOSE = 1e-2
#: Once a residual has fallen by this factor, its growth is a sign of rounding, not of the method.
_DEEP = 1e-4


@dataclass(frozen=True)
class _Block:
    """Rows W = T Q with Q M Qᵀ = I.

    Attributes:
        q: Q, shape (r, P).
        mq: Q M, shape (r, P).
        factor: T, shape (k, r), on the CPU.
        gram: Q Qᵀ, on the CPU.
    """

    q: Rows
    mq: Rows
    factor: Tensor
    gram: Tensor
    finite: bool

    @classmethod
    def of(cls, w: Rows, mw: Rows) -> _Block:
        """Orthonormalise the rows W in the inner product of M, dropping directions that vanish to rounding."""
        eps = torch.finfo(w.dtype).eps
        factor = torch.eye(len(w), dtype=torch.float64)
        gram = factor
        # A second pass restores the orthonormality that nearly dependent rows lose to rounding.
        for _ in range(2 if len(w) > 1 else 1):
            inner = small(w @ torch.cat([mw, w]).T)
            if not bool(torch.isfinite(inner).all()):
                return cls(w, mw, factor, gram, False)
            inner, gram = inner[:, : len(w)], inner[:, len(w) :]
            sizes, vectors = torch.linalg.eigh(0.5 * (inner + inner.T))
            live = sizes > max(len(w) * eps * float(sizes.abs().max()), 0.0)
            scales = sizes[live].sqrt()
            turn = vectors[:, live] / scales
            w, mw = turn.T.to(w) @ w, turn.T.to(w) @ mw
            factor = factor @ (vectors[:, live] * scales)
            gram = turn.T @ gram @ turn
            if not len(w):
                break
        return cls(w, mw, factor, gram, True)

    def norms(self, coordinates: Tensor) -> Tensor:
        """Euclidean norm of each row of C Q, for coordinates C."""
        return ((coordinates @ self.gram) * coordinates).sum(dim=1).clamp_min(0.0).sqrt()


def _iterate(system: System, r: Rows, goal: Goal, budget: int) -> Pass:
    """Run block conjugate gradients from zero until every row of the residual is small enough."""
    u, products = torch.zeros_like(r), 0
    block = _Block.of(r, system.preconditioner.apply(r))
    s, c = block.mq, block.factor
    first = best = torch.inf
    for step in range(budget):
        if not block.finite:
            return Pass(u, step, products, Status.NON_FINITE)
        worst = float(goal.size(block.norms(c), c.square().sum(1)).max()) if len(s) else 0.0
        first, best = (worst, worst) if step == 0 else (first, min(best, worst))
        if worst > 10 * best and best < _DEEP * first:
            return Pass(u, step, products, None)  # what is left is rounding: restart from the true residual
        if worst <= goal.norm:
            return Pass(u, step, products, None, c.to(u) @ block.q)
        image = system.product(s)
        products += len(s)
        curvature = small(s @ image.T)
        if not bool(torch.isfinite(curvature).all()):
            return Pass(u, step + 1, products, Status.NON_FINITE)
        inverse = _inverse(curvature, small(s.norm(dim=1) * image.norm(dim=1)), torch.finfo(r.dtype).eps)
        if inverse is None:
            return Pass(u, step + 1, products, Status.INDEFINITE)
        u = u + (c @ inverse).to(u) @ s
        w = block.q - inverse.to(u) @ image
        block = _Block.of(w, system.preconditioner.apply(w))
        s = block.mq + block.factor.T.to(u) @ s
        c = c @ block.factor
    return Pass(u, budget, products, None if block.finite else Status.NON_FINITE)


def _inverse(curvature: Tensor, lengths: Tensor, eps: float) -> Tensor | None:
    """Pseudo-inverse of the curvature S A Sᵀ; None if that is indefinite or nowhere positive.

    Directions that are zero to rounding are left out. Once a right-hand side is solved to rounding, its directions are
    noise, whose curvature has either sign, so only curvature that is negative beyond rounding counts as such. `lengths`
    holds |s| |A s| of each direction, which sets the scale of rounding.
    """
    sizes = curvature.diagonal()
    if bool((sizes < -1e3 * eps * lengths).any()) or not bool((sizes > 0).any()):
        return None
    scale = torch.where(sizes > eps * lengths, sizes.clamp_min(torch.finfo(sizes.dtype).tiny).rsqrt(), 0.0)
    values, vectors = torch.linalg.eigh(scale[:, None] * (0.5 * (curvature + curvature.T)) * scale)
    rounding = 10 * len(values) * eps
    if float(values[0]) < -(eps**0.5):
        return None
    live = values > rounding
    turned = scale[:, None] * vectors[:, live]
    return (turned / values[live]) @ turned.T

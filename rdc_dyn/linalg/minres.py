"""min |b − A u|_M over a Krylov space of MA: minimal residuals for symmetric A, definite or not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from rdc_dyn.linalg.base import LinearSolution, Rows, SymmetricOperator
from rdc_dyn.linalg.krylov import Goal, Pass, System, solve
from rdc_dyn.linalg.preconditioner import Preconditioner
from rdc_dyn.status import Status


@dataclass(frozen=True)
class Minres:
    """Solves (A + damping I) u = b to |b − A u| ≤ rtol |b| by minimal residuals (Paige & Saunders 1975).

    Preconditioning follows Choi, Paige & Saunders (2011), without their minimum-length variant for inconsistent
    systems: A may have negative eigenvalues, M must not. All right-hand sides advance together, each in its own Krylov
    space, so that an iteration is one batched product.

    Attributes:
        max_iterations: Limit for each right-hand side.
        preconditioner: M, kept from solve to solve.
    """

    rtol: float = 1e-8
    max_iterations: int = 2000
    damping: float = 0.0
    preconditioner: Preconditioner = field(default_factory=Preconditioner)

    def solve(
        self, operator: SymmetricOperator, rhs: Rows, *, rtol: float | None = None, start: Rows | None = None
    ) -> LinearSolution:
        """Solve for each row of `rhs`; a slow or stalled solve is tried once more with a rebuilt preconditioner."""
        system = System(operator, self.preconditioner, self.damping)
        return solve(_iterate, system, rhs, self.rtol if rtol is None else rtol, self.max_iterations, start)


class _Lanczos(NamedTuple):
    """One step of the Lanczos process with its QR factors; every entry has a row for each right-hand side.

    `cosine` and `sine` belong to the last rotation; entries named `_old` are those of the step before.

    Attributes:
        number: Index of the right-hand side.
        u: Iterate.
        r: Its residual, by recurrence.
        v: vⱼ with |vⱼ|_M = 1.
        z: M vⱼ.
        w: Search direction.
        beta: |vⱼ|_M before normalisation.
        phi: Signed M-norm of the residual.
    """

    number: Tensor
    u: Rows
    r: Rows
    v_old: Rows
    v: Rows
    z: Rows
    w_old: Rows
    w: Rows
    beta: Tensor
    phi: Tensor
    cosine: Tensor
    sine: Tensor
    cosine_old: Tensor
    sine_old: Tensor

    @classmethod
    def begin(cls, system: System, r: Rows) -> _Lanczos:
        """The state at u = 0."""
        zero, one = torch.zeros_like(r), r.new_ones((len(r), 1))
        v, z, beta = _normalised(system, r)
        number = torch.arange(len(r), device=r.device)
        return cls(number, zero, r, zero, v, z, zero, zero, beta, beta, one, 0 * one, one, 0 * one)

    def step(self, system: System) -> _Lanczos:
        """Advance by one product."""
        image = system.product(self.z)
        alpha = (self.z * image).sum(dim=1, keepdim=True)
        v, z, beta = _normalised(system, image - alpha * self.v - self.beta * self.v_old)
        delta = self.cosine * alpha - self.cosine_old * self.sine * self.beta
        rho = torch.hypot(delta, beta)
        inverse = torch.where(rho > 0, 1.0 / rho, 0.0)  # zero where A is singular on an invariant subspace
        above = self.sine * alpha + self.cosine_old * self.cosine * self.beta
        cosine, sine = delta * inverse, beta * inverse
        w = (self.z - self.sine_old * self.beta * self.w_old - above * self.w) * inverse
        return _Lanczos(
            self.number, self.u + cosine * self.phi * w, sine**2 * self.r - cosine * sine * self.phi * v,
            self.v, v, z, self.w, w, beta, -sine * self.phi, cosine, sine, self.cosine, self.sine,
        )  # fmt: skip

    def select(self, rows: Tensor) -> _Lanczos:
        """Keep the right-hand sides that a mask selects."""
        return self if bool(rows.all()) else _Lanczos(*(entry[rows] for entry in self))


def _normalised(system: System, v: Rows) -> tuple[Rows, Rows, Tensor]:
    """v / |v|_M, M v / |v|_M and |v|_M; zeros where v is zero."""
    z = system.preconditioner.apply(v)
    beta = (v * z).sum(dim=1, keepdim=True).clamp_min(0.0).sqrt()
    safe = torch.where(beta > 0, beta, 1.0)
    return v / safe, z / safe, beta


def _iterate(system: System, r: Rows, goal: Goal, budget: int) -> Pass:
    """Run minimal residuals from zero until every row of the residual is small enough."""
    u, residual, products = torch.zeros_like(r), r, 0
    state = _Lanczos.begin(system, r)
    for step in range(budget + 1):
        norms = state.r.norm(dim=1)
        if not bool(torch.isfinite(norms).all()):
            return Pass(u, step, products, Status.NON_FINITE)
        u = u.index_copy(0, state.number, state.u)
        residual = residual.index_copy(0, state.number, state.r)
        # A Lanczos process that has terminated (beta = 0) cannot reduce its residual further.
        state = state.select((norms > goal.norm) & (state.beta[:, 0] > 0))
        if step == budget or not len(state.number):
            return Pass(u, step, products, None, residual)
        state = state.step(system)
        products += len(state.number)
    raise AssertionError("the loop returns")

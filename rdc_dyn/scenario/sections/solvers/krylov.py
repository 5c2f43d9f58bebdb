"""Krylov methods on Hessian-vector products, with what preconditions them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field

from rdc_dyn.scenario.families import SolverSection
from rdc_dyn.scenario.mistakes import Finding, Path
from rdc_dyn.scenario.section import Count, Natural, NonNegative, Positive
from rdc_dyn.scenario.tree import Tree, section

if TYPE_CHECKING:
    from rdc_dyn.linalg import LinearSolver, Preconditioner
    from rdc_dyn.scenario.context import Context
    from rdc_dyn.scenario.scenario import Scenario

#: The ranks where a scenario gives none.
_RANKS = {"nystrom": 100, "kfac": 1000}


class KrylovSection(SolverSection):
    """A Krylov method, its preconditioner and when that is built anew."""

    rtol: Positive | None = Field(
        default=None,
        description="relative residual |b - A u| / |b|; null: 1e-8 or, where that is less, a tenth of integrator.rtol; "
        "1e-4 in float32",
    )
    max_iterations: Count = 2000
    damping: NonNegative = Field(default=0.0, description="added to A; the response is then that of the damped system")
    preconditioner: Literal["factorised", "nystrom", "kfac", "none"] = Field(
        default="factorised",
        description="factorised: a factor of an A met earlier; nystrom: its largest eigenvalues, for large theta; "
        "kfac: Kronecker factors and a core, for large theta of an amortised encoder",
    )
    curvature: Literal["hessian", "gauss_newton"] = Field(
        default="hessian",
        description="what factorised and nystrom approximate: A itself, or the generalised Gauss-Newton matrix, "
        "positive semidefinite by construction (amortised only); A answers for the response in both cases",
    )
    rank: Count | None = Field(
        default=None,
        description="of nystrom: products that a build takes; null: 100. Of kfac: coordinates of its core; null: 1000",
    )
    memory: Natural = Field(
        default=40, description="pairs (s, A s) of the last solves that update the preconditioner; 0: none"
    )
    patience: Positive = Field(
        default=1.0,
        description="products that solves take beyond those of a fresh preconditioner, as a multiple of what a build "
        "takes, after which it is built anew; smaller where builds are cheap, as in batches on a GPU",
    )

    def with_method(self, method: Any, context: Context) -> LinearSolver:
        """The method with its preconditioner."""
        solver: LinearSolver = method(
            self.rtol, self.max_iterations, self.damping, context.preconditioned(self, self.damping)
        )
        return solver

    def undamped(self, context: Context) -> Preconditioner | None:
        """As the scenario names it, unless that is a factor."""
        return None if self.preconditioner == "factorised" else context.preconditioned(self, 0.0)

    @classmethod
    def check(cls, tree: Tree, path: Path) -> Iterator[Finding]:
        """A rank and a curvature go with what has them."""
        own, kind = section(tree, *path), section(tree, "objective").get("kind")
        preconditioner = own.get("preconditioner", "factorised")
        if own.get("rank") is not None and preconditioner not in _RANKS:
            yield Finding((*path, "rank"), "only with preconditioner: nystrom or kfac", at_key=True)
        if own.get("curvature") != "gauss_newton":
            return
        place = (*path, "curvature")
        if preconditioner == "kfac":
            yield Finding(place, "kfac is of the Gauss-Newton matrix always; leave it out", at_key=True)
        elif preconditioner == "none":
            yield Finding(place, "only with preconditioner: factorised or nystrom", at_key=True)
        elif kind != "amortised":
            message = f"gauss_newton needs a loss that is convex in the outputs of networks, and {kind!r} has none"
            yield Finding(place, f"{message}; use hessian")

    def resolve(self, scenario: Scenario) -> Self:
        """A tenth of the integrator's tolerance, lest its error control fight the noise of solves.

        1e-8 where that is more, and never below what rounding allows.
        """
        asked = scenario.integrator.tolerance
        rtol = 1e-8 if asked is None else max(min(1e-8, 0.1 * asked), 1e-12)
        rank = _RANKS.get(self.preconditioner)
        return self.default(rtol=1e-4 if scenario.dtype == "float32" else rtol, rank=rank)


class CgSection(KrylovSection):
    """Preconditioned block conjugate gradients on Hessian-vector products."""

    method: Literal["cg"]

    def build(self, context: Context) -> LinearSolver:
        """The solver."""
        from rdc_dyn.linalg import ConjugateGradient

        return self.with_method(ConjugateGradient, context)


class MinresSection(KrylovSection):
    """Preconditioned minimal residuals on Hessian-vector products; A may be indefinite."""

    method: Literal["minres"]

    def build(self, context: Context) -> LinearSolver:
        """The solver."""
        from rdc_dyn.linalg import Minres

        return self.with_method(Minres, context)

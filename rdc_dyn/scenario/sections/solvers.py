"""What applies A⁻¹: a factor at every state, or Krylov methods with what preconditions them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field

from rdc_dyn.scenario.family import Family
from rdc_dyn.scenario.mistakes import Finding, Path
from rdc_dyn.scenario.section import Count, Natural, NonNegative, Positive, Section
from rdc_dyn.scenario.sections.objectives import OBJECTIVES
from rdc_dyn.scenario.tree import Tree, section

if TYPE_CHECKING:
    from rdc_dyn.linalg import ConjugateGradient, LinearSolver, Minres, Preconditioner, Recipe
    from rdc_dyn.scenario.context import Context
    from rdc_dyn.scenario.scenario import Scenario


class SolverSection(Section):
    """What applies A^-1."""

    method: str
    damping: NonNegative = Field(default=0.0, description="added to A; the response is then that of the damped system")

    @abstractmethod
    def build(self, context: Context) -> LinearSolver:
        """The solver; a `UserError` where A is too large for it."""

    def undamped(self, context: Context) -> Preconditioner | None:
        """A preconditioner of A itself for a network of which no factor can be had; None where it names none."""
        return None


class DenseSection(SolverSection):
    """A formed by products and factorised at every state; for small theta."""

    method: Literal["dense"]

    def build(self, context: Context) -> LinearSolver:
        """The solver."""
        from rdc_dyn.linalg import Dense

        context.require_factorisable()
        return Dense(self.damping)


@dataclass(frozen=True)
class _Preconditioner:
    """A value of the key `preconditioner`.

    Attributes:
        recipe: Its M for a section, of A + `damping`; a `UserError` where A is too large, or J has no factors.
        rank: Its rank where a scenario gives none; None where it has none.
        of_any: Whether it approximates the Gauss-Newton matrix as well as A.
    """

    recipe: Callable[[KrylovSection, Context, float], Recipe]
    rank: int | None = None
    of_any: bool = True


def _factorised(section: KrylovSection, context: Context, damping: float) -> Recipe:
    from rdc_dyn.linalg import Factorised

    context.require_factorisable()
    return Factorised(damping)


def _nystrom(section: KrylovSection, context: Context, damping: float) -> Recipe:
    from rdc_dyn.linalg import Nystrom

    assert section.rank is not None  # resolved
    return Nystrom(section.rank, context.objective.weight_prior_precision, damping)


def _kfac(section: KrylovSection, context: Context, damping: float) -> Recipe:
    from rdc_dyn.curvature.kfac import Kfac

    assert section.rank is not None  # resolved
    return Kfac(context.objective, section.rank, damping=damping)


def _none(section: KrylovSection, context: Context, damping: float) -> Recipe:
    from rdc_dyn.linalg import Identity

    return Identity()


_PRECONDITIONERS = {
    "factorised": _Preconditioner(_factorised),
    "nystrom": _Preconditioner(_nystrom, rank=100),
    "kfac": _Preconditioner(_kfac, rank=1000, of_any=False),
    "none": _Preconditioner(_none, of_any=False),
}


class KrylovSection(SolverSection):
    """A Krylov method, its preconditioner and when that is built anew."""

    rtol: Positive | None = Field(
        default=None,
        description="relative residual |b - A u| / |b|; null: 1e-8 or, where that is less, a tenth of integrator.rtol; "
        "1e-4 in float32",
    )
    max_iterations: Count = 2000
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

    def preconditioned(self, context: Context, damping: float = 0.0) -> Preconditioner:
        """M of A + `damping`; a `UserError` where A is too large, or J has no factors."""
        from rdc_dyn.curvature.from_gauss_newton import FromGaussNewton
        from rdc_dyn.linalg import Preconditioner

        recipe = _PRECONDITIONERS[self.preconditioner].recipe(self, context, damping)
        if self.curvature == "gauss_newton":
            recipe = FromGaussNewton(recipe, context.objective)
        return Preconditioner(recipe, self.memory, self.patience)

    def undamped(self, context: Context) -> Preconditioner | None:
        """As the scenario names it, unless that is a factor."""
        return None if self.preconditioner == "factorised" else self.preconditioned(context)

    def with_method(self, method: type[ConjugateGradient | Minres], context: Context) -> LinearSolver:
        """The method with its preconditioner."""
        assert self.rtol is not None  # resolved
        return method(self.rtol, self.max_iterations, self.damping, self.preconditioned(context, self.damping))

    @classmethod
    def check(cls, tree: Tree, path: Path) -> Iterator[Finding]:
        """A rank and a curvature go with what has them."""
        own, objective = section(tree, *path), OBJECTIVES.of(tree.get("objective"))
        name = own.get("preconditioner", "factorised")
        chosen = _PRECONDITIONERS.get(name) if isinstance(name, str) else None
        if own.get("rank") is not None and (chosen is None or chosen.rank is None):
            yield Finding((*path, "rank"), "only with preconditioner: nystrom or kfac", at_key=True)
        if own.get("curvature") != "gauss_newton":
            return
        place = (*path, "curvature")
        if name == "kfac":
            yield Finding(place, "kfac is of the Gauss-Newton matrix always; leave it out", at_key=True)
        elif name == "none":
            yield Finding(place, "only with preconditioner: factorised or nystrom", at_key=True)
        elif objective is not None and not objective.convex:
            kind = tree["objective"]["kind"]
            message = f"gauss_newton needs a loss that is convex in the outputs of networks, and {kind!r} has none"
            yield Finding(place, f"{message}; use hessian")

    def resolve(self, scenario: Scenario) -> Self:
        """A tenth of the integrator's tolerance, lest its error control fight the noise of solves.

        1e-8 where that is more, and never below what rounding allows.
        """
        asked = scenario.integrator.tolerance
        rtol = 1e-8 if asked is None else max(min(1e-8, 0.1 * asked), 1e-12)
        rank = _PRECONDITIONERS[self.preconditioner].rank
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


SOLVERS = Family("solvers", SolverSection, "method")

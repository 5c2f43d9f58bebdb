"""What applies A⁻¹: a factor at every state, or Krylov methods, told apart by what preconditions them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field

from rdc_dyn.scenario.family import Family
from rdc_dyn.scenario.section import Count, Natural, NonNegative, Positive, Section
from rdc_dyn.scenario.sections.objectives import OBJECTIVES
from rdc_dyn.scenario.written import Finding, KeyPath, Tree, section

if TYPE_CHECKING:
    from rdc_dyn.linalg import LinearSolver, Preconditioner, Recipe
    from rdc_dyn.scenario.context import Context
    from rdc_dyn.scenario.scenario import Scenario


class SolverSection(Section):
    """What applies A^-1."""

    method: str
    damping: NonNegative = Field(default=0.0, description="added to A; the response is then that of the damped system")

    @property
    def accuracy(self) -> float | None:
        """The relative residual of its solves; None where rounding alone limits them."""
        return None

    @property
    def keeps_factor(self) -> bool:
        """Whether it solves by a factor of an A met earlier."""
        return False

    @abstractmethod
    def build(self, context: Context) -> LinearSolver:
        """The solver; a `UserError` where A is too large for it."""

    def undamped(self, context: Context) -> Preconditioner | None:
        """A preconditioner of A itself for a network of which no factor can be had; None where it names none."""
        return None


class DenseSection(SolverSection):
    """A formed and factorised at every state; for small theta."""

    method: Literal["dense"]

    def build(self, context: Context) -> LinearSolver:
        """The solver."""
        from rdc_dyn.linalg import Dense

        context.require_factorisable()
        return Dense(self.damping)


class KrylovSection(SolverSection):
    """A Krylov method on Hessian-vector products, its preconditioner and when that is built anew.

    Attributes:
        usual_rank: The rank of its preconditioner where a scenario gives none; None where that has no rank.
        own_curvature: Why no curvature can be chosen; empty where it can.
    """

    method: Literal["cg", "minres"]
    rtol: Positive | None = Field(
        default=None,
        description="relative residual |b - A u| / |b|, or with euler, cg and a corrector to a tolerance the relative "
        "error of M, of second order in that of theta_c; null: 1e-8 or, where that is less, a tenth of "
        "integrator.rtol; 1e-4 in float32",
    )
    max_iterations: Count = Field(default=2000, description="for each right-hand side")
    preconditioner: str
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
    usual_rank: ClassVar[int | None] = None
    own_curvature: ClassVar[str] = ""

    @abstractmethod
    def recipe(self, context: Context, damping: float) -> Recipe:
        """How M of A + `damping` is built; a `UserError` where A is too large, or J has no factors."""

    def preconditioned(self, context: Context, damping: float = 0.0) -> Preconditioner:
        """M of A + `damping`, or of the Gauss-Newton matrix in its place."""
        from rdc_dyn.curvature.gauss_newton import FromGaussNewton
        from rdc_dyn.linalg import Preconditioner

        recipe = self.recipe(context, damping)
        if self.curvature == "gauss_newton":
            recipe = FromGaussNewton(recipe, context.objective)
        return Preconditioner(recipe, self.memory, self.patience)

    def build(self, context: Context) -> LinearSolver:
        """The method with its preconditioner."""
        from rdc_dyn.linalg import ConjugateGradient, Minres

        assert self.rtol is not None  # resolved
        method = ConjugateGradient if self.method == "cg" else Minres
        return method(self.rtol, self.max_iterations, self.damping, self.preconditioned(context, self.damping))

    def undamped(self, context: Context) -> Preconditioner | None:
        """As the scenario names it."""
        return self.preconditioned(context)

    @property
    def accuracy(self) -> float | None:
        """The scenario's."""
        return self.rtol

    @classmethod
    def line(cls, tag: str) -> str:
        """What a method is, or a preconditioner."""
        methods = {
            "cg": "Preconditioned block conjugate gradients on Hessian-vector products",
            "minres": "Preconditioned minimal residuals on Hessian-vector products; A may be indefinite",
        }
        return methods.get(tag) or super().line(tag)

    @classmethod
    def check(cls, tree: Tree, path: KeyPath) -> Iterator[Finding]:
        """A rank and a curvature go with what has them."""
        own, objective = section(tree, *path), OBJECTIVES.of(tree.get("objective"))
        if own.get("rank") is not None and cls.usual_rank is None:
            yield Finding((*path, "rank"), "only with preconditioner: nystrom or kfac", at_key=True)
        if own.get("curvature") != "gauss_newton":
            return
        if cls.own_curvature:
            yield Finding((*path, "curvature"), cls.own_curvature, at_key=True)
        elif objective is not None and not objective.convex:
            kind = tree["objective"]["kind"]
            message = f"gauss_newton needs a loss that is convex in the outputs of networks, and {kind!r} has none"
            yield Finding((*path, "curvature"), f"{message}; use hessian")

    def resolve(self, scenario: Scenario) -> Self:
        """A tenth of the integrator's tolerance, lest its error control fight the noise of solves.

        1e-8 where that is more, and never below what rounding allows.
        """
        asked = scenario.integrator.tolerance
        rtol = 1e-8 if asked is None else max(min(1e-8, 0.1 * asked), 1e-12)
        return self.default(rtol=1e-4 if scenario.dtype == "float32" else rtol, rank=self.usual_rank)


class FactorisedSection(KrylovSection):
    """A factor of an A met earlier."""

    preconditioner: Literal["factorised"] = "factorised"
    single: bool = Field(
        default=False,
        description="form and factorise A in float32, which takes 0.65 of the time, and use the factor in the dtype of "
        "theta; minima are proved by factors in that dtype",
    )

    @property
    def keeps_factor(self) -> bool:
        """Where it is of A itself."""
        return self.curvature == "hessian"

    def recipe(self, context: Context, damping: float) -> Recipe:
        """A factor."""
        from rdc_dyn.curvature.hessian import price
        from rdc_dyn.linalg import Factorised

        context.require_factorisable()
        found = price(context.objective) if self.curvature == "hessian" else None
        return Factorised(damping, found, self.single)

    def undamped(self, context: Context) -> Preconditioner | None:
        """None: there is no factor."""
        return None


class NystromSection(KrylovSection):
    """The largest eigenvalues of an A met earlier; for large theta."""

    preconditioner: Literal["nystrom"]
    usual_rank = 100

    def recipe(self, context: Context, damping: float) -> Recipe:
        """Randomised, of the scenario's rank."""
        from rdc_dyn.linalg import Nystrom

        assert self.rank is not None  # resolved
        return Nystrom(self.rank, context.objective.weight_prior_precision, damping)


class KfacSection(KrylovSection):
    """Kronecker factors and a core of the Gauss-Newton matrix; for large theta of an amortised encoder."""

    preconditioner: Literal["kfac"]
    usual_rank = 1000
    own_curvature = "kfac is of the Gauss-Newton matrix always; leave it out"

    def recipe(self, context: Context, damping: float) -> Recipe:
        """The factors, with a core of the scenario's rank."""
        from rdc_dyn.curvature.kfac import Kfac

        assert self.rank is not None  # resolved
        return Kfac(context.objective, self.rank, damping=damping)


class PlainSection(KrylovSection):
    """No preconditioner."""

    preconditioner: Literal["none"]
    own_curvature = "only with preconditioner: factorised or nystrom"

    def recipe(self, context: Context, damping: float) -> Recipe:
        """M = I."""
        from rdc_dyn.linalg import Identity

        return Identity()


#: What preconditions where no scenario says how: a factor, where A can be formed, or nothing.
FACTOR, NOTHING = FactorisedSection(method="cg"), PlainSection(method="cg", preconditioner="none")
PRECONDITIONERS = Family("preconditioners", KrylovSection, "preconditioner", default="factorised", module="solvers")
SOLVERS = Family("solvers", SolverSection, "method", inner=PRECONDITIONERS)

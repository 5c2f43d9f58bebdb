"""Correctors of a point; what the process holds they leave to the vector field, unless they restore it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field

from rdc_dyn.scenario.given import Given
from rdc_dyn.scenario.section import Count, Natural, NonNegative, Positive
from rdc_dyn.scenario.sections.correctors import BATCH, Batch, CorrectorSection
from rdc_dyn.scenario.written import Finding, KeyPath, Tree, number, section

if TYPE_CHECKING:
    from rdc_dyn.dynamics import Corrector, NewtonKrylov
    from rdc_dyn.scenario.context import Context
    from rdc_dyn.scenario.scenario import Scenario


class PullingSection(CorrectorSection):
    """A corrector that leaves what the process holds to the vector field."""

    baumgarte: NonNegative | None = Field(
        default=None,
        description="rate at which the vector field pulls what the process holds back to its value, per unit of the "
        "clock; null: 1 / integrator.step_size with response.kind secant, else 0; of newton_krylov only without "
        "hold_constraint",
    )

    @property
    def pull(self) -> float:
        """The scenario's."""
        return self.baumgarte or 0.0

    @classmethod
    def check(cls, tree: Tree, path: KeyPath) -> Iterator[Finding]:
        """A pull towards the held values is stable."""
        integrator = section(tree, "integrator")
        rate, step = number(section(tree, *path).get("baumgarte")), number(integrator.get("step_size"))
        if rate and integrator.get("method") == "euler" and step and step > 0 and rate * step > 1 + 1e-12:
            message = f"must be <= 1 / integrator.step_size, which is {1 / step:g}, or Euler overshoots, got {rate:g}"
            yield Finding((*path, "baumgarte"), message)

    def resolve(self, scenario: Scenario) -> Self:
        """1/h where M is guessed and does not hold what the process holds."""
        start, end = scenario.process.span
        step = min(scenario.integrator.resolve(scenario).step_size or 0.0, abs(end - start))
        return self.default(baumgarte=1.0 / step if scenario.response.guesses else 0.0)


class GivenCorrectorSection(Given, PullingSection):
    """A corrector of your own, passed in Python by rdc_dyn.run(corrector=...)."""

    method: Literal["given"]


class NoCorrectorSection(PullingSection):
    """The trajectory is what the integrator gives."""

    method: Literal["none"]
    moves = False
    has_floor = False

    def build(self, context: Context) -> Corrector:
        """Leaves every state where it is."""
        from rdc_dyn.dynamics import NoCorrector

        return NoCorrector()


class GradientSection(PullingSection):
    """The paper's equilibration: Adam with learning rate proportional to (k/K)^2 (1 - k/K)^5, or a constant one."""

    method: Literal["gradient"]
    steps: Count = Field(default=200, description="updates of a correction")
    peak_learning_rate: Positive = Field(default=1.5e-3, description="Adam's largest learning rate")
    schedule: Literal["hump", "constant"] = Field(
        default="hump", description="of the learning rate: the paper's, or constant as in plain training"
    )
    trace: Natural = Field(
        default=0,
        description="values of J and |grad J| in the course of each correction, in its event equilibrated; 0: none",
    )
    batch: Count | None = Field(default=None, description=BATCH + "; null: all data")
    has_floor = False

    def build(self, context: Context) -> Corrector:
        """Adam, seeded by the scenario."""
        from rdc_dyn.dynamics import Gradient

        seed = context.scenario.seed
        return Gradient(self.steps, self.peak_learning_rate, self.batch, seed, self.schedule, self.trace)

    @property
    def approximations(self) -> tuple[str, ...]:
        """Minibatches, where there are any."""
        return () if self.batch is None else (f"corrector gradients from minibatches of {self.batch}",)

    @classmethod
    def takes_fresh_noise(cls, own: Tree) -> bool:
        """For minibatches."""
        return own.get("batch") is not None


class EquilibratingSection(PullingSection):
    """A corrector that ends where |grad J| is small enough."""

    tolerance: Positive | None = Field(default=None, description="on |grad J|; null: 1e-8 in float64, 1e-4 in float32")
    solves = True
    promises = True
    returns = True

    @classmethod
    def takes_fresh_noise(cls, own: Tree) -> bool:
        """No: J has to be a function."""
        return False

    def resolve(self, scenario: Scenario) -> Self:
        """The tolerance that the type of numbers allows."""
        return super().resolve(scenario).default(tolerance=scenario.precision)


class NewtonKrylovSection(EquilibratingSection):
    """Newton steps by the response's linear solver; with hold_constraint one multiplier direction moves too."""

    method: Literal["newton_krylov"]
    constraint_tolerance: Positive | None = Field(
        default=None, description="on what is held, in nats; null: 1e-10 in float64, 1e-5 in float32"
    )
    max_iterations: Count = Field(default=12, description="most Newton steps of a correction")
    hold_constraint: bool = Field(default=True, description="also restore the functional that the process holds")

    @property
    def holds_to(self) -> float:
        """The scenario's tolerance, with hold_constraint."""
        return (self.constraint_tolerance or 0.0) if self.hold_constraint else 0.0

    def build(self, context: Context) -> Corrector:
        """Newton's method with the solver of the response."""
        return self.newton(context)

    def newton(self, context: Context) -> NewtonKrylov:
        """Newton's method with the solver of the response."""
        from rdc_dyn.dynamics import NewtonKrylov

        assert self.tolerance and self.constraint_tolerance and context.solver  # resolved; `solves`
        return NewtonKrylov(
            solver=context.solver,
            tolerance=self.tolerance,
            constraint_tolerance=self.constraint_tolerance,
            max_iterations=self.max_iterations,
            holds_constraint=self.hold_constraint,
        )

    @classmethod
    def check(cls, tree: Tree, path: KeyPath) -> Iterator[Finding]:
        """Nothing pulls on top of a corrector that restores what is held."""
        own = section(tree, *path)
        if number(own.get("baumgarte")) and own.get("hold_constraint", True) is True:
            message = "only with hold_constraint: false; Newton's corrector restores what is held itself"
            yield Finding((*path, "baumgarte"), message, at_key=True)
        else:
            yield from super().check(tree, path)

    def resolve(self, scenario: Scenario) -> Self:
        """No pull beside hold_constraint, and the tolerances that the type of numbers allows."""
        own = self.default(baumgarte=0.0) if self.hold_constraint else super().resolve(scenario)
        held = 1e-10 if scenario.dtype == "float64" else 1e-5
        return own.default(tolerance=scenario.precision, constraint_tolerance=held)


class QuasiNewtonSection(NewtonKrylovSection):
    """One gradient an iteration, with A^-1 from the solver's preconditioner and learnt pairs; then Newton's method."""

    method: Literal["quasi_newton"]  # type: ignore[assignment]
    max_iterations: Count = Field(default=12, description="of Newton's method, where it has to take over")

    def build(self, context: Context) -> Corrector:
        """Quasi-Newton with the preconditioner of the response's solver."""
        from rdc_dyn.dynamics import QuasiNewton

        return QuasiNewton(self.newton(context), context.preconditioner)


class VarianceReducedSection(EquilibratingSection):
    """Preconditioned SVRG: minibatch steps around anchors with full gradients, down to a tolerance on |grad J|."""

    method: Literal["variance_reduced"]
    batch: Batch = 64
    steps: Count = Field(default=10, description="steps from one anchor to the next; the first is a full-gradient step")
    epochs: Count = Field(default=100, description="most anchors; a correction that needs more fails")
    step: Positive = Field(default=0.1, description="length, 1 is Newton's; halved where an epoch does not lower J")
    needs_data = True

    def build(self, context: Context) -> Corrector:
        """SVRG with the preconditioner of the response's solver."""
        from rdc_dyn.dynamics import VarianceReduced

        assert self.tolerance is not None  # resolved
        return VarianceReduced(
            context.preconditioner,
            self.tolerance,
            self.batch,
            self.steps,
            self.epochs,
            self.step,
            context.scenario.seed,
        )


#: The corrector of a scenario that names none, before it is resolved, and what becomes of it then.
USUAL = NewtonKrylovSection(method="newton_krylov")
USUALLY = (
    "left out: quasi_newton for an amortised objective whose solver keeps a factor of A, which it can up to 10,000 "
    "parameters; else newton_krylov"
)


def usual(scenario: Scenario) -> CorrectorSection:
    """The corrector of a scenario that names none."""
    kept = scenario.response.exact and scenario.response.solver.keeps_factor
    return QuasiNewtonSection(method="quasi_newton") if kept and scenario.objective.convex else USUAL

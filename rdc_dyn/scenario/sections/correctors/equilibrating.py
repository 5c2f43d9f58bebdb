"""Correctors that reach a tolerance on |∇J|."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field

from rdc_dyn.scenario.mistakes import Finding, Path
from rdc_dyn.scenario.section import Count, NonNegative, Positive
from rdc_dyn.scenario.sections.correctors import Batch, PullingSection
from rdc_dyn.scenario.tree import Tree, number, section

if TYPE_CHECKING:
    from rdc_dyn.dynamics import Corrector
    from rdc_dyn.scenario.context import Context
    from rdc_dyn.scenario.scenario import Scenario


class EquilibratingSection(PullingSection):
    """A corrector that ends where |grad J| is small enough."""

    tolerance: Positive | None = Field(default=None, description="on |grad J|; null: 1e-8 in float64, 1e-4 in float32")
    solves = True
    promises = True

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
    max_iterations: Count = 12
    hold_constraint: bool = Field(default=True, description="also restore the functional that the process holds")
    baumgarte: NonNegative | None = Field(
        default=None,
        description=f"{PullingSection.model_fields['baumgarte'].description}; only without hold_constraint",
    )

    @property
    def holds_to(self) -> float:
        """The scenario's tolerance, with hold_constraint."""
        return (self.constraint_tolerance or 0.0) if self.hold_constraint else 0.0

    def build(self, context: Context) -> Corrector:
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
    def check(cls, tree: Tree, path: Path) -> Iterator[Finding]:
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

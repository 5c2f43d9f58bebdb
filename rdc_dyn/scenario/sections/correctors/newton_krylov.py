"""Newton's method, bordered where a functional is held."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field

from rdc_dyn.scenario.families import PullingSection
from rdc_dyn.scenario.mistakes import Finding, Path
from rdc_dyn.scenario.section import Count, NonNegative, Positive
from rdc_dyn.scenario.sections.correctors._words import TOLERANCE
from rdc_dyn.scenario.tree import Tree, number, section

if TYPE_CHECKING:
    from rdc_dyn.dynamics import Corrector
    from rdc_dyn.scenario.context import Context
    from rdc_dyn.scenario.scenario import Scenario


class NewtonKrylovSection(PullingSection):
    """Newton steps by the response's linear solver; with hold_constraint one multiplier direction moves too."""

    method: Literal["newton_krylov"]
    tolerance: Positive | None = Field(default=None, description=TOLERANCE)
    constraint_tolerance: Positive | None = Field(
        default=None, description="on what is held, in nats; null: 1e-10 in float64, 1e-5 in float32"
    )
    max_iterations: Count = 12
    hold_constraint: bool = Field(default=True, description="also restore the functional that the process holds")
    baumgarte: NonNegative | None = Field(
        default=None,
        description=f"{PullingSection.model_fields['baumgarte'].description}; only without hold_constraint",
    )
    solves: ClassVar[bool] = True
    promises: ClassVar[bool] = True

    @classmethod
    def takes_fresh_noise(cls, own: Tree) -> bool:
        """No: J has to be a function."""
        return False

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
        """The tolerances that the type of numbers allows."""
        own = self.default(baumgarte=0.0) if self.hold_constraint else super().resolve(scenario)
        held = 1e-10 if scenario.dtype == "float64" else 1e-5
        return own.default(tolerance=scenario.precision, constraint_tolerance=held)

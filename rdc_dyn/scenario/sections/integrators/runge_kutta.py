"""The Runge-Kutta methods of torchdiffeq."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from rdc_dyn.scenario.families import IntegratorSection
from rdc_dyn.scenario.mistakes import Finding, Path
from rdc_dyn.scenario.section import Positive
from rdc_dyn.scenario.tree import Tree, section

if TYPE_CHECKING:
    from rdc_dyn.dynamics import Integrator
    from rdc_dyn.scenario.context import Context


class FixedStepSection(IntegratorSection):
    """Runge-Kutta with a given step."""

    step_size: Positive

    def build(self, context: Context) -> Integrator:
        """The method of torchdiffeq."""
        from rdc_dyn.dynamics import Integrator

        return Integrator(self.method)


class EulerSection(FixedStepSection):
    """order 1, fixed step, 1 evaluation of the vector field."""

    method: Literal["euler"]
    order: ClassVar[float] = 1
    stages: ClassVar[float] = 1


class MidpointSection(FixedStepSection):
    """order 2, fixed step, 2 evaluations."""

    method: Literal["midpoint"]
    order: ClassVar[float] = 2
    stages: ClassVar[float] = 2


class Heun2Section(FixedStepSection):
    """order 2, fixed step, 2 evaluations."""

    method: Literal["heun2"]
    order: ClassVar[float] = 2
    stages: ClassVar[float] = 2


class Heun3Section(FixedStepSection):
    """order 3, fixed step, 3 evaluations."""

    method: Literal["heun3"]
    order: ClassVar[float] = 3
    stages: ClassVar[float] = 3


class Rk4Section(FixedStepSection):
    """order 4, fixed step, 4 evaluations (the 3/8 rule)."""

    method: Literal["rk4"]
    order: ClassVar[float] = 4
    stages: ClassVar[float] = 4


class AdaptiveStepSection(IntegratorSection):
    """Embedded Runge-Kutta: with rtol, error control inside segments of length step_size; without, fixed steps."""

    step_size: Positive | None = Field(
        default=None, description="longest segment between corrections; null: a tenth of the span"
    )
    rtol: Positive | None = Field(default=1e-6, description="null: take fixed steps of step_size")
    atol: Positive | None = Field(default=1e-8, description="null: take fixed steps of step_size")

    @property
    def tolerance(self) -> float | None:
        """That of its error control."""
        return self.rtol

    def build(self, context: Context) -> Integrator:
        """The method of torchdiffeq."""
        from rdc_dyn.dynamics import Integrator

        return Integrator(self.method, self.rtol, None if self.rtol is None else self.atol)

    @classmethod
    def check(cls, tree: Tree, path: Path) -> Iterator[Finding]:
        """Steps are given or controlled."""
        own = section(tree, *path)
        free = "rtol" in own and own["rtol"] is None
        if free and own.get("step_size") is None:
            yield Finding((*path, "step_size"), "missing; with rtol: null the steps are fixed and need a size")
        if not free and "atol" in own and own["atol"] is None:
            yield Finding((*path, "atol"), "null only together with rtol: null, which means fixed steps")


class AdaptiveHeunSection(AdaptiveStepSection):
    """order 2, error control."""

    method: Literal["adaptive_heun"]
    order: ClassVar[float] = 2
    stages: ClassVar[float] = 2


class Fehlberg2Section(AdaptiveStepSection):
    """order 2, error control."""

    method: Literal["fehlberg2"]
    order: ClassVar[float] = 2
    stages: ClassVar[float] = 3


class Bosh3Section(AdaptiveStepSection):
    """order 3, error control."""

    method: Literal["bosh3"]
    order: ClassVar[float] = 3
    stages: ClassVar[float] = 4


class Dopri5Section(AdaptiveStepSection):
    """order 5, error control."""

    method: Literal["dopri5"]
    order: ClassVar[float] = 5
    stages: ClassVar[float] = 7


class Dopri8Section(AdaptiveStepSection):
    """order 8, error control."""

    method: Literal["dopri8"]
    order: ClassVar[float] = 8
    stages: ClassVar[float] = 14

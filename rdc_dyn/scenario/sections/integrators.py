"""The Runge-Kutta methods of torchdiffeq, and integrators of anyone's own."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal, NamedTuple, Self

from pydantic import Field

from rdc_dyn.scenario.family import Family
from rdc_dyn.scenario.given import Given
from rdc_dyn.scenario.section import Positive, Section
from rdc_dyn.scenario.written import Finding, KeyPath, Tree, section

if TYPE_CHECKING:
    from rdc_dyn.dynamics import Integrator
    from rdc_dyn.scenario.context import Context
    from rdc_dyn.scenario.scenario import Scenario

_SMALLEST = (
    "a step that fails is halved down to this length, and singular points are located to it; null: 1e-4, or a "
    "sixteenth of step_size where that is shorter"
)
_HISTORY = "its history is lost at every corrector step"


class IntegratorSection(Section):
    """The predictor."""

    method: str
    step_size: Positive | None = None
    smallest_step: Positive | None = Field(default=None, description=_SMALLEST)

    @property
    def order(self) -> float:
        """Convergence order; NaN where it is not known."""
        return math.nan

    @property
    def stages(self) -> float:
        """Evaluations of the vector field in a step; NaN where that is not known."""
        return math.nan

    @property
    def tolerance(self) -> float | None:
        """The relative tolerance of its error control; None where its steps are given."""
        return None

    @abstractmethod
    def build(self, context: Context) -> Integrator:
        """The integrator."""

    def resolve(self, scenario: Scenario) -> Self:
        """Segments and the length at which a failing step is given up."""
        start, end = scenario.process.span
        own = self.default(step_size=abs(end - start) / 10)
        assert own.step_size is not None
        return own.default(smallest_step=min(1e-4, min(own.step_size, abs(end - start)) / 16))


class GivenIntegratorSection(Given, IntegratorSection):
    """An integrator of your own, passed in Python by rdc_dyn.run(integrator=...)."""

    method: Literal["given"]
    step_size: Positive = Field(description="length of a step on the process clock")


class Method(NamedTuple):
    """What is known of a method of torchdiffeq: its convergence order, evaluations in a step, and a line on it."""

    order: int
    stages: int
    line: str


METHODS = {
    "euler": Method(1, 1, "order 1, fixed step, 1 evaluation of the vector field"),
    "midpoint": Method(2, 2, "order 2, fixed step, 2 evaluations"),
    "heun2": Method(2, 2, "order 2, fixed step, 2 evaluations"),
    "heun3": Method(3, 3, "order 3, fixed step, 3 evaluations"),
    "rk4": Method(4, 4, "order 4, fixed step, 4 evaluations (the 3/8 rule)"),
    "adaptive_heun": Method(2, 2, "order 2, error control"),
    "fehlberg2": Method(2, 3, "order 2, error control"),
    "bosh3": Method(3, 4, "order 3, error control"),
    "dopri5": Method(5, 7, "order 5, error control"),
    "dopri8": Method(8, 14, "order 8, error control"),
}


class RungeKuttaSection(IntegratorSection):
    """A Runge-Kutta method of torchdiffeq."""

    @property
    def order(self) -> float:
        """The method's."""
        return METHODS[self.method].order

    @property
    def stages(self) -> float:
        """The method's."""
        return METHODS[self.method].stages

    @classmethod
    def line(cls, tag: str) -> str:
        """Order and steps of the method."""
        return METHODS[tag].line


class FixedStepSection(RungeKuttaSection):
    """Runge-Kutta with a given step."""

    method: Literal["euler", "midpoint", "heun2", "heun3", "rk4"]
    step_size: Positive = Field(description="length of a step on the process clock")

    def build(self, context: Context) -> Integrator:
        """The method of torchdiffeq."""
        from rdc_dyn.dynamics import Integrator

        return Integrator(self.method)


class AdaptiveStepSection(RungeKuttaSection):
    """Embedded Runge-Kutta: with rtol, error control inside segments of length step_size; without, fixed steps."""

    method: Literal["adaptive_heun", "fehlberg2", "bosh3", "dopri5", "dopri8"]
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
    def check(cls, tree: Tree, path: KeyPath) -> Iterator[Finding]:
        """Steps are given or controlled."""
        own = section(tree, *path)
        free = "rtol" in own and own["rtol"] is None
        if free and own.get("step_size") is None:
            yield Finding((*path, "step_size"), "missing; with rtol: null the steps are fixed and need a size")
        if not free and "atol" in own and own["atol"] is None:
            yield Finding((*path, "atol"), "null only together with rtol: null, which means fixed steps")


INTEGRATORS = Family(
    "integrators",
    IntegratorSection,
    "method",
    refused={
        "explicit_adams": _HISTORY,
        "implicit_adams": _HISTORY,
        "fixed_adams": _HISTORY,
        "scipy_solver": "torchdiffeq does not check whether SciPy succeeded",
    },
)

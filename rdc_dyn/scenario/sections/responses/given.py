"""A response of anyone's own."""

from __future__ import annotations

from typing import ClassVar, Literal

from rdc_dyn.scenario.families import ResponseSection
from rdc_dyn.scenario.given import Given
from rdc_dyn.scenario.sections.responses._words import Solver
from rdc_dyn.scenario.sections.solvers.krylov import CgSection


class GivenResponseSection(Given, ResponseSection):
    """A response of your own, passed in Python by rdc_dyn.run(response=...)."""

    kind: Literal["given"]
    solver: Solver = CgSection(method="cg")
    averages: ClassVar[bool] = True

    @property
    def approximations(self) -> tuple[str, ...]:
        """Nothing is known of it."""
        return (f"response by {self.object}",)

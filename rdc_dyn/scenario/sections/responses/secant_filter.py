"""M by filtered secants of averaged points."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from rdc_dyn.scenario.families import ResponseSection
from rdc_dyn.scenario.sections.responses._words import Solver
from rdc_dyn.scenario.sections.solvers.krylov import CgSection

if TYPE_CHECKING:
    from rdc_dyn.dynamics import ResponseModel
    from rdc_dyn.scenario.context import Context


class SecantFilterSection(ResponseSection):
    """Secants of averaged points, filtered; M with its standard error, for correctors on minibatches."""

    kind: Literal["secant_filter"]
    solver: Solver = CgSection(method="cg")
    averages: ClassVar[bool] = True

    def build(self, context: Context) -> ResponseModel:
        """The Kalman filter."""
        from rdc_dyn.dynamics import SecantFilter

        return SecantFilter()

    @property
    def approximations(self) -> tuple[str, ...]:
        """M itself."""
        return ("response by filtered secants",)

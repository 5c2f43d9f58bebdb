"""M by solves with A."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from rdc_dyn.scenario.families import SOLVERS, ResponseSection, SolverSection
from rdc_dyn.scenario.sections.solvers.krylov import CgSection

if TYPE_CHECKING:
    from rdc_dyn.dynamics import ResponseModel
    from rdc_dyn.scenario.context import Context


class LinearResponseSection(ResponseSection):
    """theta_lam = A^-1 b_lam and theta_gamma = A^-1 b_gamma."""

    kind: Literal["linear_response"] = "linear_response"
    solver: Annotated[SolverSection, SOLVERS] = CgSection(method="cg")
    exact: ClassVar[bool] = True
    averages: ClassVar[bool] = True

    def build(self, context: Context) -> ResponseModel:
        """Solves with the scenario's solver."""
        from rdc_dyn.dynamics import LinearResponse

        assert context.solver is not None  # `solves`
        return LinearResponse(context.solver)

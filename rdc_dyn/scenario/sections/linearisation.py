"""The section `linearisation`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from rdc_dyn.scenario.section import Count, Positive, Section

if TYPE_CHECKING:
    from rdc_dyn.distributed.evaluated import Evaluated
    from rdc_dyn.scenario.context import Context


class LinearisationSection(Section):
    """How products with the Hessian A are computed; the run records the choice."""

    graph: Literal["auto", "kept", "recomputed"] = Field(
        default="auto",
        description=(
            "kept: the graph of grad J stays in memory, a product is one backward pass; recomputed: the graph is built "
            "for a block of data at a time; auto: kept where it fits into the memory"
        ),
    )
    memory: Positive | None = Field(
        default=None, description="GB for graphs; null: a quarter of the machine's memory, half of a GPU's free memory"
    )
    curvature_data: Count | None = Field(
        default=None,
        description="take A from so many data, drawn once (of each part); J, its gradient and b use all; null: all",
    )

    def build(self, context: Context) -> Evaluated:
        """J and its derivatives at the start."""
        from rdc_dyn.distributed.evaluated import Evaluator

        memory = None if self.memory is None else 1e9 * self.memory
        scenario = context.scenario
        evaluator = Evaluator(
            self.graph,
            memory,
            self.curvature_data,
            scenario.seed,
            scenario.multiplies,
            context.group,
            scenario.objective.kind,
        )
        return evaluator.evaluated(context.objective, context.start.theta, context.start.controls)

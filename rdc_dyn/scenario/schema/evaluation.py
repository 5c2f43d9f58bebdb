"""Schema of the section `linearisation`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rdc_dyn.scenario.schema.base import Count, Positive, Section


class Linearisation(Section):
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

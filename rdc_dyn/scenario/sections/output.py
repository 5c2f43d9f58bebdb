"""The section `output`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rdc_dyn.scenario.section import Count, Section


class OutputSection(Section):
    """What is kept."""

    every: Count = Field(default=1, description="record every so many accepted steps; the last is always recorded")
    theta: Literal["checkpoints", "none"] = Field(
        default="checkpoints", description="whether the last two checkpoints stay when the run is complete"
    )
    checkpoint_every: Count = Field(
        default=10, description="end a segment and write a checkpoint every so many records; the last is always written"
    )

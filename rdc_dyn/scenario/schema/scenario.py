"""Schema of a whole scenario."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema

from rdc_dyn.scenario.schema.base import Count, Section
from rdc_dyn.scenario.schema.data import Data
from rdc_dyn.scenario.schema.evaluation import Linearisation
from rdc_dyn.scenario.schema.numerics import Corrector, Integrator, NewtonKrylov
from rdc_dyn.scenario.schema.objective import Objective
from rdc_dyn.scenario.schema.process import Process, Start
from rdc_dyn.scenario.schema.response import LinearResponse, Response


class Output(Section):
    """What a run records and keeps."""

    every: Count = Field(default=1, description="record every so many accepted steps; the last is always recorded")
    theta: Literal["checkpoints", "none"] = Field(
        default="checkpoints", description="whether the last two checkpoints stay when the run is complete"
    )
    checkpoint_every: Count = Field(
        default=10, description="end a segment and write a checkpoint every so many records; the last is always written"
    )


# Any value is accepted for a swept key here, because each point of the grid is validated as a scenario.
_LISTS = {"type": "object", "additionalProperties": {"type": "array", "minItems": 1}, "minProperties": 1}
Sweep = Annotated[
    Any, WithJsonSchema({"oneOf": [_LISTS, {"type": "array", "items": _LISTS, "minItems": 1}, {"type": "null"}]})
]


class Scenario(Section):
    """A whole scenario; each section describes one part of the program.

    The constructor validates each section by itself. YAML files and mappings passed to `rdc_dyn.run` are also
    checked for sections that do not fit together.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")] = Field(
        description="1 to 64 letters, digits, dots, dashes or underscores, the first a letter or digit"
    )
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    dtype: Literal["float64", "float32"] = "float64"
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:[0-9]+)?)$")] = Field(
        default="auto", description="auto, cpu, cuda or cuda:N"
    )
    threads: Count | None = Field(default=None, description="CPU threads; null: what torch chooses")
    data: Data | None = None
    objective: Objective
    linearisation: Linearisation = Linearisation()
    start: Start
    process: Process
    response: Response = LinearResponse()
    integrator: Integrator
    corrector: Corrector = NewtonKrylov(method="newton_krylov")
    output: Output = Output()
    sweep: Sweep = Field(
        default=None,
        description="for rdc-dyn sweep: {dotted key: [values]}, every combination is a run; or a list of such grids",
    )

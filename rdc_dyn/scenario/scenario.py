"""The whole scenario."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import Field, WithJsonSchema

from rdc_dyn.scenario.section import Count, Section
from rdc_dyn.scenario.sections.correctors import CORRECTORS, CorrectorSection
from rdc_dyn.scenario.sections.correctors.of_a_point import USUAL, USUALLY, usual
from rdc_dyn.scenario.sections.data import DataSection
from rdc_dyn.scenario.sections.integrators import INTEGRATORS, IntegratorSection
from rdc_dyn.scenario.sections.objectives import OBJECTIVES, ObjectiveSection
from rdc_dyn.scenario.sections.processes import PROCESSES, ProcessSection
from rdc_dyn.scenario.sections.responses import RESPONSES, LinearResponseSection, ResponseSection
from rdc_dyn.scenario.sections.start import LinearisationSection, OutputSection, StartSection
from rdc_dyn.scenario.written import Finding, KeyPath, Tree, section, show

#: Most steps of a run: at a millisecond each they take hours.
MOST_STEPS = 10_000_000

# The keys are other keys of the scenario and their values anything these take: each point of the grid is validated.
_LISTS = {"type": "object", "additionalProperties": {"type": "array", "minItems": 1}, "minProperties": 1}
Sweep = Annotated[
    Any, WithJsonSchema({"oneOf": [_LISTS, {"type": "array", "items": _LISTS, "minItems": 1}, {"type": "null"}]})
]
#: Keys that cannot be swept, and why.
NOT_SWEPT = {"sweep": "a sweep has no sweeps", "name": "points are named by a hash; sweep what makes them differ"}


class Scenario(Section):
    """A whole scenario; its sections are the parts of the program.

    What `rdc_dyn.run` and `rdc_dyn.sweep` take besides the path of a YAML file or a mapping with the same keys. The
    constructor validates the values of each section; that the sections fit together is checked where a scenario is
    read from a file or a mapping.

    Raises:
        pydantic.ValidationError: If a value is not what the schema expects.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")] = Field(
        description="1 to 64 letters, digits, dots, dashes or underscores, the first a letter or digit"
    )
    seed: Annotated[int, Field(ge=0, lt=2**31)] = Field(default=0, description="of every random number of a run")
    dtype: Literal["float64", "float32"] = Field(default="float64", description="number format of theta and the data")
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:[0-9]+)?)$")] = Field(
        default="auto", description="auto, cpu, cuda or cuda:N"
    )
    threads: Count | None = Field(default=None, description="CPU threads; null: what torch chooses")
    data: DataSection | None = Field(default=None, description="where x and y come from")
    objective: Annotated[ObjectiveSection, OBJECTIVES] = Field(description="J, whose minimum is the equilibrium")
    linearisation: LinearisationSection = LinearisationSection()
    start: StartSection
    process: Annotated[ProcessSection, PROCESSES] = Field(description="how lam, gamma and the data move")
    response: Annotated[ResponseSection, RESPONSES] = Field(
        default=LinearResponseSection(), description="what gives M and moves theta along with the controls"
    )
    integrator: Annotated[IntegratorSection, INTEGRATORS] = Field(description="how one step is integrated")
    corrector: Annotated[CorrectorSection, CORRECTORS] = Field(default=USUAL, description=USUALLY)
    output: OutputSection = OutputSection()
    sweep: Sweep = Field(
        default=None,
        description="for rdc-dyn sweep: {dotted key: [values]}, every combination is a run; or a list of such grids",
    )

    def resolve(self, scenario: Scenario) -> Self:
        """Every section, after the corrector of a scenario that names none has been chosen."""
        own = self if "corrector" in self.model_fields_set else self.set(corrector=usual(self))
        return super(Scenario, own).resolve(scenario)

    @property
    def precision(self) -> float:
        """The |∇J| that counts as an equilibrium where nothing else is said."""
        return 1e-8 if self.dtype == "float64" else 1e-4

    @property
    def solves(self) -> bool:
        """Whether anything in the run solves with A; where nothing does, no limit of a solver matters."""
        return self.response.solves or self.corrector.solves

    @property
    def multiplies(self) -> bool:
        """Whether a run takes products with A beyond the check of its start; else no graph of ∇J needs to be kept."""
        return self.solves or self.start.equilibrate.newton_steps > 0 or bool(self.process.look_ahead)

    def approximations(self, curvature_data: int, data: int) -> str:
        """What in a run is approximate besides its discretisation, in clauses; empty where nothing is.

        Args:
            curvature_data: Number of data that A is taken from.
            data: Number of data that J is a sum over, 0 where it is none.
        """
        damping, alone = self.response.solver.damping, self.start.equilibrate.newton_steps == 0
        found = [f"A from {curvature_data} of {data} data"] if curvature_data != data else []
        found += [f"A damped by {damping:g}"] if damping and self.solves else []
        found += [*self.response.approximations, *self.corrector.approximations]
        return "; ".join([*found, *(["start by Adam alone"] if alone and self.start.from_ is None else [])])

    @property
    def guarantees(self) -> str:
        """What holds in a run to rounding or to the tolerances of its solves, in the words that `verify` knows."""
        held = {
            "response": self.response.exact,
            "surface": self.corrector.returns,
            "constraint": self.corrector.holds_to > 0,
            "line": self.process.straight,
        }
        return " ".join(name for name, holds in held.items() if holds)

    @classmethod
    def check(cls, tree: Tree, path: KeyPath) -> Iterator[Finding]:
        """The form of a sweep, whose values are validated with each point, and the number of steps."""
        yield from sweep_form(tree)
        yield from _steps(tree)


def _steps(tree: Tree) -> Iterator[Finding]:
    """A span of more steps than any run takes, or longer than any number."""
    span, step = section(tree, "process").get("span"), section(tree, "integrator").get("step_size")
    ends = [float(end) for end in span if isinstance(end, int | float)] if isinstance(span, list | tuple) else []
    if len(ends) != 2 or not all(map(math.isfinite, ends)):
        return  # that is a mistake of its own
    length = abs(ends[1] - ends[0])
    count = length / step if isinstance(step, int | float) and step > 0 else 0.0
    if count > MOST_STEPS or math.isinf(length):
        message = f"{count or length:.3g} steps of integrator.step_size; expected at most {MOST_STEPS:g}"
        yield Finding(("process", "span"), message)


def sweep_form(tree: Tree) -> Iterator[Finding]:
    """Check that `sweep` is a grid or a list of grids."""
    grids = tree.get("sweep")
    if isinstance(grids, list) and grids:
        for index, grid in enumerate(grids):
            yield from _grid(grid, ("sweep", index))
    elif grids is not None:
        yield from _grid(grids, ("sweep",))


def _grid(grid: Any, path: KeyPath) -> Iterator[Finding]:
    if not isinstance(grid, dict) or not grid:
        yield Finding(path, f"expected a section of dotted keys, each with a list of values, got {show(grid)}")
        return
    for key, values in grid.items():
        if key.partition(".")[0] in NOT_SWEPT:
            yield Finding((*path, key), f"not swept: {NOT_SWEPT[key.partition('.')[0]]}", at_key=True)
        elif not isinstance(values, list) or not values:
            yield Finding((*path, key), f"expected a list of values, such as [0.1, 0.05], got {show(values)}")

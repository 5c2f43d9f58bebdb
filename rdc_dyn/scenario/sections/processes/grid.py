"""A grid of multipliers, node by node."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from rdc_dyn.scenario.section import Interval, NonNegative, UnitInterval, list_to_tuple
from rdc_dyn.scenario.sections.processes import ProcessSection
from rdc_dyn.scenario.written import Finding, KeyPath, Tree, number, section, show

if TYPE_CHECKING:
    from rdc_dyn.dynamics import Process, State
    from rdc_dyn.scenario.scenario import Scenario

Axis = Annotated[tuple[NonNegative, ...], Field(min_length=1), BeforeValidator(list_to_tuple)]


class GridSection(ProcessSection):
    """The nodes of a grid in (lam, gamma), row by row, each from the one before: a surface of equilibria."""

    kind: Literal["grid"]
    lam: Axis = Field(description="values of lam, rising or falling; the run begins at the first of both axes")
    gamma: Axis = Field(description="values of gamma")
    at_position: UnitInterval = Field(default=0.0, description="data position of the whole grid")
    along: Literal["lam", "gamma"] | None = Field(
        default=None,
        description="the multiplier that changes from node to node, the other one from row to row; null: that of the "
        "smaller steps, which the response predicts best",
    )
    span: Interval = Field(default=(0.0, 0.0), description="follows from the grid: node n is reached at time n")
    responds = False
    prescribes = True
    axes: ClassVar[tuple[str, str]] = ("lam", "gamma")

    @model_validator(mode="before")
    @classmethod
    def _spanned(cls, value: Any) -> Any:
        """Other sections ask for the span before this one is resolved."""
        axes = [value.get(key) for key in cls.axes] if isinstance(value, dict) else []
        lengths = [len(axis) for axis in axes if isinstance(axis, list | tuple)]
        return {**value, "span": [0.0, float(math.prod(lengths) - 1)]} if len(lengths) == 2 else value

    @property
    def data_position(self) -> float:
        """That of the grid."""
        return self.at_position

    def begins(self, lam: float | None, gamma: float | None) -> tuple[float | None, float | None]:
        """The first node."""
        return self.lam[0], self.gamma[0]

    def build(self, start: State) -> Process:
        """The way over the grid."""
        from rdc_dyn.dynamics import Grid

        assert self.along is not None  # resolved
        return Grid(self.span, self.lam, self.gamma, self.along, self.at_position)

    @classmethod
    def moves_data(cls, own: Tree) -> bool:
        """Whether the grid is not at the source."""
        return number(own.get("at_position")) not in (None, 0)

    @classmethod
    def check(cls, tree: Tree, path: KeyPath) -> Iterator[Finding]:
        """At least two nodes, each axis one way, a step from node to node, and no other beginning or end."""
        own = section(tree, *path)
        nodes = [len(axis) for key in cls.axes if isinstance(axis := own.get(key), list)]
        if math.prod(nodes) == 1 and len(nodes) == 2:
            yield Finding((*path, "lam"), "the grid has one node; expected at least two")
        for key in cls.axes:
            values = [number(value) for value in own.get(key) or () if number(value) is not None]
            differences = [b - a for a, b in pairwise(values)]  # type: ignore[operator]
            if differences and not (min(differences) > 0 or max(differences) < 0):
                yield Finding((*path, key), f"expected values that rise or fall, got {show(own[key])}")
            given = number(section(tree, "start").get(key))
            if given is not None and values and given != values[0]:
                message = f"the grid begins at {key} = {show(values[0])}, got {show(given)}; leave it out"
                yield Finding(("start", key), message)
        if own.get("span") not in (None, [0, math.prod(nodes) - 1]):
            yield Finding((*path, "span"), "follows from the grid; leave it out", at_key=True)
        if own.get("on_fold") == "follow":
            yield Finding((*path, "on_fold"), "a grid goes on at the next node, not along a branch; use relax or stop")
        if number(step := section(tree, "integrator").get("step_size")) != 1:
            yield Finding(("integrator", "step_size"), f"a grid is walked from node to node: 1, got {show(step)}")

    def resolve(self, scenario: Scenario) -> Self:
        """The axis of the smaller steps; what ends a branch is no reason to leave the other nodes out."""
        finest = {
            key: max(abs(b - a) / max(a, b) for a, b in pairwise(axis))  # as a share of the larger value at the ends
            for key in self.axes
            if len(axis := getattr(self, key)) > 1
        }
        relaxes = scenario.response.exact and scenario.start.equilibrate.newton_steps > 0
        own = self.default(on_fold="relax" if relaxes else "stop")
        return super(GridSection, own).resolve(scenario).default(along=min(finest, key=lambda key: finest[key]))

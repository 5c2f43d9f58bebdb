"""Multipliers and data position as given functions of the clock."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from rdc_dyn.scenario.section import NonNegative, Section, UnitInterval, list_to_tuple
from rdc_dyn.scenario.sections.processes import ProcessSection
from rdc_dyn.scenario.written import Finding, KeyPath, Tree, number, section, show
from rdc_dyn.status import UserError

if TYPE_CHECKING:
    from rdc_dyn.dynamics import Process, State


class Ends(Section):
    """Multipliers at the two ends of the span; a single number is the end, the start is start.lam or start.gamma."""

    lam: NonNegative | Annotated[tuple[NonNegative, NonNegative], BeforeValidator(list_to_tuple)] = Field(
        description="multiplier of the distortion: its end, or its two ends"
    )
    gamma: NonNegative | Annotated[tuple[NonNegative, NonNegative], BeforeValidator(list_to_tuple)] = Field(
        description="multiplier of the classification loss: its end, or its two ends"
    )
    data_position: Annotated[tuple[UnitInterval, UnitInterval], BeforeValidator(list_to_tuple)] = Field(
        default=(0.0, 0.0), description="data position at the two ends, 0 the source, 1 the target"
    )


class PrescribedSection(ProcessSection):
    """Lemmas 5 and 9: lam, gamma and data_position are given functions of the clock."""

    kind: Literal["prescribed"]
    path: Ends = Field(description="the multipliers at the ends of the span")
    shape: Literal["linear", "exponential", "jump"] = Field(
        default="linear", description="jump: at the second ends as soon as the clock runs"
    )
    responds = False
    prescribes = True
    ends = ("process", "path")

    @property
    def data_position(self) -> float:
        """t at the start."""
        return self.path.data_position[0]

    def begins(self, lam: float | None, gamma: float | None) -> tuple[float | None, float | None]:
        """The first ends of the path, where it has any."""
        first = tuple(e[0] if isinstance(e, tuple) else None for e in (self.path.lam, self.path.gamma))
        return (lam if first[0] is None else first[0], gamma if first[1] is None else first[1])

    def build(self, start: State) -> Process:
        """The path from the start on."""
        from rdc_dyn.dynamics import Prescribed

        def ends(value: float | tuple[float, float], first: float) -> tuple[float, float]:
            return value if isinstance(value, tuple) else (first, value)

        lam, gamma = ends(self.path.lam, start.lam), ends(self.path.gamma, start.gamma)
        if self.shape == "exponential" and any(min(pair) <= 0 and pair[0] != pair[1] for pair in (lam, gamma)):
            raise UserError("process.path: an exponential path needs positive ends of a multiplier that moves")
        return Prescribed(self.span, lam, gamma, self.path.data_position, self.shape)

    @classmethod
    def moves_data(cls, own: Tree) -> bool:
        """Whether the ends of the data position differ from the source."""
        return section(own, "path").get("data_position") not in (None, [0, 0])

    @classmethod
    def check(cls, tree: Tree, path: KeyPath) -> Iterator[Finding]:
        """The path begins where the run does, and an exponential one does not touch zero."""
        yield from super().check(tree, path)
        own, start = section(tree, *path), section(tree, "start")
        for key in ("lam", "gamma"):
            end: Any = section(own, "path").get(key)
            given = number(start.get(key))
            first = number(end[0]) if isinstance(end, list) and len(end) == 2 else None
            if given is not None and first is not None and first != given:
                message = f"the path must begin at start.{key}, which is {given!r}, got {show(end[0])}"
                yield Finding((*path, "path", key, 0), message)
            still = given == 0 and number(end[1] if isinstance(end, list) and len(end) == 2 else end) == 0
            if own.get("shape") != "exponential" or still:
                continue
            places: list[tuple[KeyPath, Any]] = [((*path, "path", key), end)]
            if isinstance(end, list):
                places = [((*path, "path", key, index), item) for index, item in enumerate(end)]
            for place, value in [*places, (("start", key), start.get(key))]:
                if number(value) == 0:
                    yield Finding(place, "must be > 0 for an exponential path, got 0")

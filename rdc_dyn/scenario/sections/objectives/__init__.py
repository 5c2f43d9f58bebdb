"""Objectives: what the sections of the family have in common; a file for each member or a few that are alike."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from rdc_dyn.scenario.family import Family
from rdc_dyn.scenario.given import Given
from rdc_dyn.scenario.section import Section
from rdc_dyn.scenario.sections.networks import NetworkSection
from rdc_dyn.scenario.written import Finding, KeyPath, Tree, section

if TYPE_CHECKING:
    from rdc_dyn.objective import Objective
    from rdc_dyn.objective.closed_form import ClosedForm
    from rdc_dyn.scenario.context import Context


class ObjectiveSection(Section):
    """J of a scenario.

    Attributes:
        exact: Whether J holds the Gibbs encoder itself, so that looking ahead for singular points is cheap.
        convex: Whether J is a convex loss of the outputs of networks, and so has a Gauss-Newton matrix.
        samples_data: Whether J is a sum over the data of the section `data`; None where it may or may not be.
        target: The key that says where the data move to, by section; None where the objective knows it by itself.
    """

    kind: str
    exact: ClassVar[bool] = False
    convex: ClassVar[bool] = False
    samples_data: ClassVar[bool | None] = True
    target: ClassVar[tuple[str, str] | None] = ("data", "target")

    @property
    def closed_form(self) -> bool:
        """Whether F of the optimum is known in closed form."""
        return False

    def optimum(self, path: Literal["mixture", "optimal_transport"]) -> ClosedForm | None:
        """F in closed form, or None, where the data move on a path."""
        return None

    @property
    def networks(self) -> Mapping[str, NetworkSection]:
        """The sections of its networks, by part; none where it has none."""
        return {}

    @abstractmethod
    def build(self, context: Context) -> Objective:
        """J."""

    def require_data(self, count: int) -> None:
        """Raise a `DataError` where J cannot be an average over so many data."""

    @classmethod
    def check(cls, tree: Tree, path: KeyPath) -> Iterator[Finding]:
        """Data are given where J is a sum over data, and only there."""
        kind, data = section(tree, *path).get("kind"), section(tree, "data")
        if cls.samples_data and data.get("source") is None and isinstance(tree.get("data"), dict | None):
            place = ("data",) if tree.get("data") is None else ("data", "source")
            yield Finding(place, f"missing; the objective '{kind}' needs data.source, such as {{name: digits}}")
        for key, value in data.items() if cls.samples_data is False else ():
            # A resolved scenario writes the defaults out; they say nothing.
            if key != "path" and value not in (None, False, 0):
                message = f"not used: the objective '{kind}' takes its second moments in place of data"
                yield Finding(("data", key), message, at_key=True)


class GivenObjectiveSection(Given, ObjectiveSection):
    """An objective of your own, passed in Python by rdc_dyn.run(objective=...)."""

    kind: Literal["given"]
    samples_data = None
    target = None


OBJECTIVES = Family("objectives", ObjectiveSection)

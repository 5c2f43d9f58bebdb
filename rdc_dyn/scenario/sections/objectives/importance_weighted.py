"""J with importance weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field

from rdc_dyn.scenario.problems import Finding, Path, show
from rdc_dyn.scenario.section import Count
from rdc_dyn.scenario.sections.objectives._variational import VariationalSection
from rdc_dyn.scenario.tree import Tree, section

if TYPE_CHECKING:
    from rdc_dyn.objective import Objective
    from rdc_dyn.scenario.context import Context
    from rdc_dyn.scenario.scenario import Scenario


class ImportanceWeightedSection(VariationalSection):
    """J = -E log of the mean of K weights exp(-H)/e: between amortised (K = 1) and the Gibbs encoder (K large)."""

    kind: Literal["importance_weighted"]
    importance_samples: Count | None = Field(
        default=None, description="K, a divisor of samples; J averages over samples / K groups; null: all samples"
    )

    def build(self, context: Context) -> Objective:
        """J over the data."""
        from rdc_dyn.objective import ImportanceWeighted

        assert self.importance_samples is not None  # resolved
        return ImportanceWeighted(**self.common(context), importance_samples=self.importance_samples)

    @classmethod
    def check(cls, tree: Tree, path: Path) -> Iterator[Finding]:
        """Samples fall into groups."""
        yield from super().check(tree, path)
        own = section(tree, *path)
        samples, group = own.get("samples", 8), own.get("importance_samples")
        if type(samples) is int and type(group) is int and samples > 0 and group > 0 and samples % group:
            message = f"must divide objective.samples, which is {samples}, got {show(group)}"
            yield Finding((*path, "importance_samples"), message)

    def resolve(self, scenario: Scenario) -> Self:
        """One group."""
        return super().resolve(scenario).default(importance_samples=self.samples)

"""No response."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal

from rdc_dyn.scenario.families import PROCESSES, ResponseSection
from rdc_dyn.scenario.mistakes import Finding, Path
from rdc_dyn.scenario.sections.responses._words import Solver
from rdc_dyn.scenario.sections.solvers.krylov import CgSection
from rdc_dyn.scenario.tree import Tree, section

if TYPE_CHECKING:
    from rdc_dyn.dynamics import ResponseModel
    from rdc_dyn.scenario.context import Context


class NoResponseSection(ResponseSection):
    """None: theta waits for the corrector at given multipliers, as in warm-started sweeps, fine-tuning and training."""

    kind: Literal["none"]
    solver: Solver = CgSection(method="cg")
    averages: ClassVar[bool] = True

    def build(self, context: Context) -> ResponseModel:
        """Nothing moves θ but corrections."""
        from rdc_dyn.dynamics import NoResponse

        return NoResponse()

    @property
    def approximations(self) -> tuple[str, ...]:
        """That there is none."""
        return ("no response, no predictor",)

    @classmethod
    def check(cls, tree: Tree, path: Path) -> Iterator[Finding]:
        """The multipliers are given."""
        yield from super().check(tree, path)
        kind, member = section(tree, "process").get("kind"), PROCESSES.of(tree.get("process"))
        if member is not None and member.responds:
            message = f"none goes with process.kind: prescribed; {kind} needs to know how C answers to the multipliers"
            yield Finding((*path, "kind"), message)

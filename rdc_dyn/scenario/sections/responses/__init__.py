"""Responses: what the sections of the family have in common; a file for each member or a few that are alike."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from rdc_dyn.scenario.family import Family
from rdc_dyn.scenario.given import Given
from rdc_dyn.scenario.mistakes import Finding, Path
from rdc_dyn.scenario.section import Section
from rdc_dyn.scenario.sections.correctors import CORRECTORS
from rdc_dyn.scenario.sections.processes import PROCESSES
from rdc_dyn.scenario.sections.solvers import SOLVERS, FactorisedSection, SolverSection
from rdc_dyn.scenario.tree import Tree, section

if TYPE_CHECKING:
    from rdc_dyn.dynamics import ResponseModel
    from rdc_dyn.scenario.context import Context
    from rdc_dyn.scenario.scenario import Scenario


class ResponseSection(Section):
    """M = d(R, D, C)/d(lam, gamma, t).

    Attributes:
        exact: Whether M is solved for with A; else nothing may ask for products with A.
        guesses: Whether M holds what the process holds only as well as it has been guessed, so that a pull has to help.
        averages: Whether it knows the noise of means over epochs.
    """

    kind: str
    solver: Annotated[SolverSection, SOLVERS] = Field(
        default=FactorisedSection(method="cg"),
        description="of linear_response, of secant's start and of the corrector newton_krylov, and the preconditioner "
        "of variance_reduced",
    )
    exact: ClassVar[bool] = False
    guesses: ClassVar[bool] = False
    averages: ClassVar[bool] = False

    @property
    def solves(self) -> bool:
        """Whether it takes a solver."""
        return self.exact

    @abstractmethod
    def build(self, context: Context) -> ResponseModel:
        """What gives M."""

    def explores(self, scenario: Scenario) -> bool:
        """Whether the first steps have to be short, because M is guessed."""
        return False

    @property
    def approximations(self) -> tuple[str, ...]:
        """What is approximate, a clause each."""
        return ()

    @classmethod
    def check(cls, tree: Tree, path: Path) -> Iterator[Finding]:
        """What looks at A needs a response made of it; what equilibrates anew needs a corrector that does."""
        kind, process = section(tree, *path).get("kind"), section(tree, "process")
        if cls.exact:
            return
        if process.get("on_fold") == "follow":
            message = f"follow needs A, which response.kind {kind} does without; use linear_response, stop or relax"
            yield Finding(("process", "on_fold"), message)
        if process.get("look_ahead") is True:
            message = f"true needs A, which response.kind {kind} does without; use linear_response or false"
            yield Finding(("process", "look_ahead"), message)
        if (corrector := CORRECTORS.of(tree.get("corrector"))) is not None and not corrector.moves:
            message = f"none leaves theta where it is, and with response.kind {kind} only corrections move it"
            yield Finding(("corrector", "method"), message)


class GivenResponseSection(Given, ResponseSection):
    """A response of your own, passed in Python by rdc_dyn.run(response=...)."""

    kind: Literal["given"]
    averages = True

    @property
    def approximations(self) -> tuple[str, ...]:
        """Nothing is known of it."""
        return (f"response by {self.object}",)


class LinearResponseSection(ResponseSection):
    """theta_lam = A^-1 b_lam and theta_gamma = A^-1 b_gamma."""

    kind: Literal["linear_response"] = "linear_response"
    exact = True
    averages = True

    def build(self, context: Context) -> ResponseModel:
        """Solves with the scenario's solver."""
        from rdc_dyn.dynamics import LinearResponse

        assert context.solver is not None  # `solves`
        return LinearResponse(context.solver)


class NoResponseSection(ResponseSection):
    """None: theta waits for the corrector at given multipliers, as in warm-started sweeps, fine-tuning and training."""

    kind: Literal["none"]
    averages = True

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


RESPONSES = Family("responses", ResponseSection, default="linear_response")

"""What gives M = d(R, D, C)/d(λ, γ, t)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field

from rdc_dyn.scenario.family import Family
from rdc_dyn.scenario.given import Given
from rdc_dyn.scenario.section import Positive, Section
from rdc_dyn.scenario.sections.correctors import CORRECTORS
from rdc_dyn.scenario.sections.processes import PROCESSES
from rdc_dyn.scenario.sections.solvers import FACTOR, SOLVERS, SolverSection
from rdc_dyn.scenario.written import Finding, KeyPath, Tree, section

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
        default=FACTOR,
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
    def check(cls, tree: Tree, path: KeyPath) -> Iterator[Finding]:
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
        """Solves with the scenario's solver, to what M needs where θ_c only predicts what a corrector corrects."""
        from rdc_dyn.dynamics import LinearResponse
        from rdc_dyn.linalg import ConjugateGradient

        solver, scenario = context.solver, context.scenario
        assert solver is not None  # `solves`
        if isinstance(solver, ConjugateGradient) and scenario.integrator.stages == 1 and scenario.corrector.promises:
            solver = replace(solver, quadratic=True)
        return LinearResponse(solver)


class NoResponseSection(ResponseSection):
    """None: theta waits for the corrector at given multipliers, as in warm-started sweeps, fine-tuning and training."""

    kind: Literal["none"]
    averages = True
    approximations: ClassVar[tuple[str, ...]] = ("no response, no predictor",)

    def build(self, context: Context) -> ResponseModel:
        """Nothing moves θ but corrections."""
        from rdc_dyn.dynamics import NoResponse

        return NoResponse()

    @classmethod
    def check(cls, tree: Tree, path: KeyPath) -> Iterator[Finding]:
        """The multipliers are given."""
        yield from super().check(tree, path)
        kind, member = section(tree, "process").get("kind"), PROCESSES.of(tree.get("process"))
        if member is not None and member.responds:
            message = f"none goes with process.kind: prescribed; {kind} needs to know how C answers to the multipliers"
            yield Finding((*path, "kind"), message)


class FiniteDifferenceSection(ResponseSection):
    """The paper's (31): equilibrate again at lam + delta and at gamma + delta by the corrector, and difference."""

    kind: Literal["finite_difference"]
    delta: Annotated[float, Field(gt=0, le=0.5)] = Field(
        default=0.01, description="shift of lam, gamma and, where data move, of data_position"
    )
    delta_gamma: Positive | None = Field(default=None, description="shift of gamma; null: delta")
    predictor: bool = Field(default=False, description="difference theta too; false: theta waits for the corrector")
    reference: bool = Field(
        default=False,
        description="difference against an equilibration at lam and gamma themselves, by the same minibatches: what a "
        "corrector that stops short of the surface still improves there cancels",
    )

    def build(self, context: Context) -> ResponseModel:
        """Differences by the scenario's corrector."""
        from rdc_dyn.dynamics import FiniteDifference

        assert self.delta_gamma is not None  # resolved
        shifts = (self.delta, self.delta_gamma, self.delta)
        return FiniteDifference(context.corrector, shifts, self.predictor, self.reference)

    @property
    def approximations(self) -> tuple[str, ...]:
        """The shifts, and a predictor that is left out."""
        other = f", {self.delta_gamma:g} in gamma" if self.delta_gamma not in (None, self.delta) else ""
        shifts = f"response by finite differences of {self.delta:g}{other}"
        return (shifts,) if self.predictor else (shifts, "no predictor")

    def resolve(self, scenario: Scenario) -> Self:
        """One shift for both multipliers."""
        return super().resolve(scenario).default(delta_gamma=self.delta)


class SecantSection(ResponseSection):
    """d(R, D, C)/d(lam, gamma, t) from the path's own history; no solve, no run besides the path's own."""

    kind: Literal["secant"]
    start: Literal["guess", "linear_response"] = Field(
        default="guess",
        description=(
            "guess: C_gamma = -C/gamma and C_lam = 0, and the first steps explore (an eighth of step_size, then "
            "doubled, where the corrector has a tolerance); linear_response: solve once, at the start"
        ),
    )
    predictor: bool | None = Field(
        default=None,
        description="learn d theta/d(lam, gamma, t) too, so that theta moves with the multipliers; null: where the "
        "corrector has a tolerance",
    )
    guesses = True
    approximations: ClassVar[tuple[str, ...]] = ("response by secant updates",)

    @property
    def solves(self) -> bool:
        """Whether M is solved for at the start."""
        return self.start == "linear_response"

    def build(self, context: Context) -> ResponseModel:
        """Broyden's updates from the start's M on."""
        from rdc_dyn.dynamics import LinearResponse, Secant

        assert self.predictor is not None  # resolved
        return Secant(LinearResponse(context.solver) if self.solves and context.solver else None, self.predictor)

    def explores(self, scenario: Scenario) -> bool:
        """Short steps teach the response; where a correction promises no |∇J|, they would teach its noise."""
        return self.start == "guess" and scenario.corrector.promises

    def resolve(self, scenario: Scenario) -> Self:
        """θ is predicted where it is equilibrated."""
        return super().resolve(scenario).default(predictor=scenario.corrector.promises)


class SecantFilterSection(ResponseSection):
    """Secants of averaged points, filtered; M with its standard error, for correctors on minibatches."""

    kind: Literal["secant_filter"]
    averages = True
    approximations: ClassVar[tuple[str, ...]] = ("response by filtered secants",)

    def build(self, context: Context) -> ResponseModel:
        """The Kalman filter."""
        from rdc_dyn.dynamics import SecantFilter

        return SecantFilter()


RESPONSES = Family("responses", ResponseSection, default="linear_response")

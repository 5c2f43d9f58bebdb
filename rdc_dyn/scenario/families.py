"""What the sections of each family have in common: what they say of themselves, and what they build."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field

from rdc_dyn.scenario.family import Family
from rdc_dyn.scenario.mistakes import Finding, Path, show
from rdc_dyn.scenario.section import (
    ClassNames,
    Count,
    Interval,
    Labels,
    NonNegative,
    Positive,
    Section,
)
from rdc_dyn.scenario.tree import Tree, number, section

if TYPE_CHECKING:
    from rdc_dyn.data.readers import Labelled, Source
    from rdc_dyn.dynamics import Corrector, Integrator, Process, ResponseModel, State
    from rdc_dyn.linalg import LinearSolver, Preconditioner
    from rdc_dyn.objective import Objective
    from rdc_dyn.objective.architectures import Architecture
    from rdc_dyn.objective.ends import Ends
    from rdc_dyn.scenario.context import Context
    from rdc_dyn.scenario.scenario import Scenario


class ObjectiveSection(Section):
    """J of a scenario.

    Attributes:
        exact: Whether J holds the Gibbs encoder itself, so that looking ahead for singular points is cheap.
        samples_data: Whether J is a sum over the data of the section `data`; None where it may or may not be.
        target: The key that says where the data move to, by section; None where the objective knows it by itself.
    """

    kind: str
    exact: ClassVar[bool] = False
    samples_data: ClassVar[bool | None] = True
    target: ClassVar[tuple[str, str] | None] = ("data", "target")

    @property
    def networks(self) -> Mapping[str, NetworkSection]:
        """The sections of its networks, by part; none where it has none."""
        return {}

    @abstractmethod
    def build(self, context: Context) -> Objective:
        """J."""


class NetworkSection(Section):
    """A part of an objective that is a network.

    Attributes:
        own: Whether it is a module that is passed in Python.
    """

    kind: str
    own: ClassVar[bool] = False

    @abstractmethod
    def build(self, ends: Ends) -> Architecture:
        """The architecture, without the sizes of its ends."""


class EncoderSection(NetworkSection):
    """The mean and log-variance of e(z|x)."""

    latent_dim: Count


class DecoderSection(NetworkSection):
    """d(x|z)."""

    likelihood: Literal["gaussian", "bernoulli"]
    variance: Positive = Field(default=0.05, description="of a gaussian likelihood, per component of x")


class ClassifierSection(NetworkSection):
    """c(y|z)."""


class ReaderSection(Section):
    """A data set.

    Attributes:
        in_root: Whether it lies in the folder `data.root`.
        apart: Key that tells two sets of one kind apart; those of kinds without it are all the same.
        class_names: Names of its classes by label, where they are known before any file is read.
    """

    name: str
    classes: Any = "all"
    limit: Count | None = Field(default=None, description="keep this many data, drawn with the scenario's seed")
    in_root: ClassVar[bool] = False
    apart: ClassVar[str] = "name"
    class_names: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def read(self, source: Source) -> Labelled:
        """All of its data as far as their labels; a `DataError` where that is not possible."""


_CHOSEN = "renumbered 0, 1, ... in the order given; or all"


class NumberedReaderSection(ReaderSection):
    """A data set whose classes are numbers."""

    classes: Literal["all"] | Labels = Field(default="all", description=f"labels to keep, {_CHOSEN}")


class NamedReaderSection(ReaderSection):
    """A data set whose classes have names."""

    classes: Literal["all"] | ClassNames = Field(
        default="all", description=f"names or labels of the classes to keep (of image_folder only names), {_CHOSEN}"
    )


class ProcessSection(Section):
    """What moves (lam, gamma, data_position).

    Attributes:
        transfer: Whether the clock is the data position, which the process moves.
        holds_classification: Whether gamma is what keeps C constant, so that it has to be positive.
        responds: Whether its rates need M; else theta may follow by corrections alone.
        start_elsewhere: Key besides the section `start` that may give the first value of a multiplier.
    """

    kind: str
    span: Interval = Field(default=(0.0, 1.0), description="first and last value of the process clock")
    on_fold: Literal["stop", "relax", "follow"] | None = Field(
        default=None,
        description="where a branch of minima ends; null: relax for networks with a linear response, else stop",
    )
    look_ahead: bool | None = Field(
        default=None,
        description="watch for folds and branch points ahead; null: for exact objectives with response.kind "
        "linear_response",
    )
    transfer: ClassVar[bool] = False
    holds_classification: ClassVar[bool] = False
    responds: ClassVar[bool] = True
    start_elsewhere: ClassVar[str] = ""

    @abstractmethod
    def build(self, start: State) -> Process:
        """The process from the start on."""

    @property
    def data_position(self) -> float:
        """t at the start."""
        return self.span[0] if self.transfer else 0.0

    @property
    def aims(self) -> bool:
        """Whether the process is only the way to the equilibrium that a geodesic is to aim at."""
        return False

    def begins(self, lam: float | None, gamma: float | None) -> tuple[float | None, float | None]:
        """The multipliers at the start, where the section `start` or an earlier run has these."""
        return lam, gamma

    @classmethod
    def moves_data(cls, own: Tree) -> bool:
        """Whether the data move, by the raw section."""
        return cls.transfer

    @classmethod
    def frees_one(cls, own: Tree) -> bool:
        """Whether gamma alone is free, or nothing, by the raw section."""
        return not cls.responds

    @classmethod
    def gives(cls, own: Tree, key: str) -> bool:
        """Whether the raw section gives the first value of lam or gamma."""
        return False

    @classmethod
    def check(cls, tree: Tree, path: Path) -> Iterator[Finding]:
        """What every process needs."""
        own, kind = section(tree, *path), section(tree, *path).get("kind")
        span = own.get("span", [0.0, 1.0])
        if isinstance(span, list) and len(span) == 2 and number(span[0]) is not None and span[0] == span[1]:
            yield Finding((*path, "span"), f"the ends must differ, got {show(span)}")
        if cls.transfer and isinstance(span, list) and any(not 0 <= (number(t) or 0.0) <= 1 for t in span):
            yield Finding((*path, "span"), f"the clock is the data position, from 0 to 1, got {show(span)}")
        if cls.holds_classification and number(section(tree, "start").get("gamma")) == 0:
            message = f"must be > 0 for {kind}: at gamma = 0 nothing holds the classification loss"
            yield Finding(("start", "gamma"), message)
        objective = OBJECTIVES.of(tree.get("objective"))
        target = None if objective is None else objective.target
        if cls.moves_data(own) and target is not None and section(tree, target[0]).get(target[1]) is None:
            yield Finding(target, f"missing; the process '{kind}' moves the data from a source to a target")
        # Relaxing onto another branch takes the minimiser of the start.
        steps = section(tree, "start", "equilibrate").get("newton_steps")
        if type(steps) is int and steps == 0 and own.get("on_fold") == "relax":
            yield Finding((*path, "on_fold"), "relax descends by start.equilibrate.newton_steps, which is 0; use stop")

    def resolve(self, scenario: Scenario) -> Self:
        """By default nothing takes products with A that a response without A has been chosen to avoid."""
        curved, exact = scenario.response.exact, scenario.objective.exact
        relaxes = curved and not exact and scenario.start.equilibrate.newton_steps > 0
        return self.default(on_fold="relax" if relaxes else "stop", look_ahead=exact and curved)


class SolverSection(Section):
    """What applies A^-1."""

    method: str
    damping: NonNegative = Field(default=0.0, description="added to A; the response is then that of the damped system")

    @abstractmethod
    def build(self, context: Context) -> LinearSolver:
        """The solver; a `UserError` where A is too large for it."""

    def undamped(self, context: Context) -> Preconditioner | None:
        """A preconditioner of A itself for a network of which no factor can be had; None where it names none."""
        return None


class ResponseSection(Section):
    """M = d(R, D, C)/d(lam, gamma, t).

    Attributes:
        exact: Whether M is solved for with A; else nothing may ask for products with A.
        guesses: Whether M holds what the process holds only as well as it has been guessed, so that a pull has to help.
        averages: Whether it knows the noise of means over epochs.
    """

    kind: str
    solver: SolverSection
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
        kind, process, corrector = section(tree, *path).get("kind"), section(tree, "process"), tree.get("corrector")
        if cls.exact:
            return
        if process.get("on_fold") == "follow":
            message = f"follow needs A, which response.kind {kind} does without; use linear_response, stop or relax"
            yield Finding(("process", "on_fold"), message)
        if process.get("look_ahead") is True:
            message = f"true needs A, which response.kind {kind} does without; use linear_response or false"
            yield Finding(("process", "look_ahead"), message)
        if isinstance(corrector, dict) and corrector.get("method") == "none":
            message = f"none leaves theta where it is, and with response.kind {kind} only corrections move it"
            yield Finding(("corrector", "method"), message)

    def resolve(self, scenario: Scenario) -> Self:
        """The solver's own defaults."""
        return self.set(solver=self.solver.resolve(scenario))


_SMALLEST = (
    "a step that fails is halved down to this length, and singular points are located to it; null: 1e-4, or a "
    "sixteenth of step_size where that is shorter"
)


class IntegratorSection(Section):
    """The predictor.

    Attributes:
        order: Convergence order.
        stages: Evaluations of the vector field in a step.
    """

    method: str
    step_size: Positive | None = None
    smallest_step: Positive | None = Field(default=None, description=_SMALLEST)
    order: ClassVar[float]
    stages: ClassVar[float]

    @property
    def tolerance(self) -> float | None:
        """The relative tolerance of its error control; None where its steps are given."""
        return None

    @abstractmethod
    def build(self, context: Context) -> Integrator:
        """The integrator."""

    def resolve(self, scenario: Scenario) -> Self:
        """Segments and the length at which a failing step is given up."""
        start, end = scenario.process.span
        own = self.default(step_size=abs(end - start) / 10)
        assert own.step_size is not None
        return own.default(smallest_step=min(1e-4, min(own.step_size, abs(end - start)) / 16))


_BAUMGARTE = (
    "rate at which the vector field pulls what the process holds back to its value, per unit of the clock; null: "
    "1 / integrator.step_size with response.kind secant, else 0"
)


class CorrectorSection(Section):
    """What brings theta back to the surface.

    Attributes:
        solves: Whether it takes the response's solver or its preconditioner.
        stochastic: Whether it records means over epochs of minibatches, by which the multipliers hold what is held.
        needs_data: Whether it draws minibatches, whatever its settings.
        promises: Whether it reaches a tolerance on |grad J|.
        boundary_layer: Whether a transfer begins with a short step, in which it learns the foreign data.
    """

    method: str
    solves: ClassVar[bool] = False
    stochastic: ClassVar[bool] = False
    needs_data: ClassVar[bool] = False
    promises: ClassVar[bool] = False
    boundary_layer: ClassVar[bool] = False

    @abstractmethod
    def build(self, context: Context) -> Corrector:
        """The corrector."""

    @property
    def pull(self) -> float:
        """κ of dh/ds = -κ (h - h0), by which the vector field pulls what the process holds back to its value."""
        return 0.0

    @property
    def approximations(self) -> tuple[str, ...]:
        """What is approximate, a clause each."""
        return ()

    @classmethod
    def draws(cls, own: Tree) -> bool:
        """Whether it draws minibatches, by the raw section."""
        return cls.needs_data

    @classmethod
    def takes_fresh_noise(cls, own: Tree) -> bool:
        """Whether noise may be drawn anew for each minibatch, by the raw section: not by what takes all data."""
        return True


class PullingSection(CorrectorSection):
    """A corrector that leaves what the process holds to the vector field."""

    baumgarte: NonNegative | None = Field(default=None, description=_BAUMGARTE)

    @property
    def pull(self) -> float:
        """The scenario's."""
        return self.baumgarte or 0.0

    @classmethod
    def check(cls, tree: Tree, path: Path) -> Iterator[Finding]:
        """A pull towards the held values is stable."""
        integrator = section(tree, "integrator")
        rate, step = number(section(tree, *path).get("baumgarte")), number(integrator.get("step_size"))
        if rate and integrator.get("method") == "euler" and step and step > 0 and rate * step > 1 + 1e-12:
            message = f"must be <= 1 / integrator.step_size, which is {1 / step:g}, or Euler overshoots, got {rate:g}"
            yield Finding((*path, "baumgarte"), message)

    def resolve(self, scenario: Scenario) -> Self:
        """1/h where M is guessed and does not hold what the process holds."""
        start, end = scenario.process.span
        step = min(scenario.integrator.resolve(scenario).step_size or 0.0, abs(end - start))
        return self.default(baumgarte=1.0 / step if scenario.response.guesses else 0.0)


OBJECTIVES = Family("objectives", ObjectiveSection)
ENCODERS = Family("encoders", EncoderSection, folder="networks")
DECODERS = Family("decoders", DecoderSection, folder="networks")
CLASSIFIERS = Family("classifiers", ClassifierSection, default="linear", folder="networks")
READERS = Family("data", ReaderSection, "name", folder="readers")
PROCESSES = Family("processes", ProcessSection)
INTEGRATORS = Family(
    "integrators",
    IntegratorSection,
    "method",
    refused={
        "explicit_adams": "its history is lost at every corrector step",
        "implicit_adams": "its history is lost at every corrector step",
        "fixed_adams": "its history is lost at every corrector step",
        "scipy_solver": "torchdiffeq does not check whether SciPy succeeded",
    },
)
CORRECTORS = Family("correctors", CorrectorSection, "method")
RESPONSES = Family("responses", ResponseSection, default="linear_response")
SOLVERS = Family("solvers", SolverSection, "method")
FAMILIES = (
    OBJECTIVES, ENCODERS, DECODERS, CLASSIFIERS, READERS, PROCESSES, INTEGRATORS, CORRECTORS, RESPONSES, SOLVERS,
)  # fmt: skip

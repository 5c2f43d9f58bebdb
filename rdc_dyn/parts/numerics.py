"""Build the parts of a step from the sections `response.solver`, `integrator` and `corrector`."""

from __future__ import annotations

from dataclasses import replace

from rdc_dyn.dynamics import (
    Corrector,
    DualRule,
    Feedback,
    Geco,
    Gradient,
    Integrator,
    Minimiser,
    Monitor,
    NewtonKrylov,
    NoCorrector,
    NuPi,
    PrimalDual,
    StepSize,
    VarianceReduced,
)
from rdc_dyn.linalg import (
    ConjugateGradient,
    Dense,
    Factorised,
    Identity,
    LinearSolver,
    Minres,
    Nystrom,
    Preconditioner,
    Recipe,
)
from rdc_dyn.linalg.factorisation import MAX_SIZE
from rdc_dyn.linalg.nystrom import RANK
from rdc_dyn.linalg.preconditioner import MEMORY, PATIENCE
from rdc_dyn.objective import Kfac, Objective
from rdc_dyn.objective.base import PerDatum
from rdc_dyn.objective.from_gauss_newton import FromGaussNewton
from rdc_dyn.objective.kfac import CORE
from rdc_dyn.scenario import Scenario, schema
from rdc_dyn.status import UserError


def build_preconditioner(
    name: str,
    objective: Objective,
    damping: float = 0.0,
    rank: int | None = None,
    memory: int = MEMORY,
    patience: float = PATIENCE,
    curvature: str = "hessian",
) -> Preconditioner:
    """Build the preconditioner `name`, one of factorised, nystrom, kfac and none, with its updates.

    A UserError reports an A that is too large to be factorised, or a J without the factors or the convexity needed.
    """
    recipe: Recipe = Identity()
    if name == "factorised":
        _require_factorisable(objective)
        recipe = Factorised(damping)
    elif name == "nystrom":
        recipe = Nystrom(rank or RANK, objective.weight_prior_precision, damping)
    elif name == "kfac":
        recipe = Kfac(objective, rank or CORE, damping=damping)
    if curvature == "gauss_newton":
        recipe = FromGaussNewton(recipe, objective)
    return Preconditioner(recipe, memory, patience)


def build_solver(scenario: Scenario, objective: Objective) -> LinearSolver:
    """The solver that applies A⁻¹; a UserError reports an A that is too large to be factorised."""
    section = scenario.response.solver
    if isinstance(section, schema.Dense):
        _require_factorisable(objective)
        return Dense(section.damping)
    preconditioner = build_preconditioner(
        section.preconditioner,
        objective,
        section.damping,
        section.rank,
        section.memory,
        section.patience,
        section.curvature,
    )
    method = ConjugateGradient if isinstance(section, schema.Cg) else Minres
    return method(section.rtol or _rtol(scenario), section.max_iterations, section.damping, preconditioner)


def _rtol(scenario: Scenario) -> float:
    """1e-8, or a tenth of the integrator's rtol if that is less, lest its error control fight the noise of solves."""
    if scenario.dtype == "float32":
        return 1e-4
    section = scenario.integrator
    asked = section.rtol if isinstance(section, schema.AdaptiveStep) else None
    return 1e-8 if asked is None else max(min(1e-8, 0.1 * asked), 1e-12)


def _require_factorisable(objective: Objective) -> None:
    if objective.size > MAX_SIZE:
        raise UserError(
            f"response.solver: a factor of {objective.size} parameters is too large (limit {MAX_SIZE}); use method cg "
            "with preconditioner nystrom or kfac"
        )


def build_minimiser(
    scenario: Scenario, objective: Objective, solver: LinearSolver | None, tolerance: float
) -> Minimiser:
    """The minimiser for the start and beyond folds; `tolerance` on |∇J| applies if the scenario sets none."""
    section = scenario.start.equilibrate
    return Minimiser(_descent(scenario, objective, solver), section.tolerance or tolerance, section.newton_steps)


def _descent(scenario: Scenario, objective: Objective, solver: LinearSolver | None) -> Preconditioner:
    """The solver's own preconditioner, so that the path begins with what the start ends with, or a new one.

    A factor replaces anything that knows less wherever A is small enough, because it proves a minimum. The solver's own
    preconditioner is of no use here if it belongs to a damped A.
    """
    small, section = objective.size <= MAX_SIZE, scenario.response.solver
    if isinstance(solver, ConjugateGradient | Minres) and solver.damping == 0.0:
        if solver.preconditioner.recipe.spectral or not small:
            return solver.preconditioner
    elif not small and not isinstance(section, schema.Dense) and section.preconditioner != "factorised":
        return build_preconditioner(
            section.preconditioner, objective, 0.0, section.rank, section.memory, section.patience, section.curvature
        )
    return build_preconditioner("factorised" if small else "none", objective)


def build_monitor(objective: Objective, solver: LinearSolver | None, fold: str) -> Monitor:
    """The monitor that looks ahead for singular points; it shares the solver's preconditioner, if it has one.

    A UserError reports an A that is too large to be formed where the branch is to be followed.
    """
    if fold == "follow" and objective.size > MAX_SIZE:
        raise UserError(
            f"process.on_fold: follow forms A, and {objective.size} parameters are too many (limit {MAX_SIZE}); use "
            "stop or relax"
        )
    return Monitor(_preconditioner_of(solver, objective))


def _preconditioner_of(solver: LinearSolver | None, objective: Objective) -> Preconditioner:
    """The solver's own, so that it is built only once, or a factor of A if the solver has none."""
    if isinstance(solver, ConjugateGradient | Minres):
        return solver.preconditioner
    return build_preconditioner("factorised", objective)


def build_integrator(scenario: Scenario) -> Integrator:
    """The integrator, which predicts each step."""
    section = scenario.integrator
    if isinstance(section, schema.AdaptiveStep) and section.rtol is not None:
        return Integrator(
            section.method, section.rtol, section.atol if section.atol is not None else 1e-2 * section.rtol
        )
    return Integrator(section.method)


def build_step_size(scenario: Scenario) -> StepSize:
    """Length of the segments, at most the span, and the length at which a failing step is given up."""
    start, end = scenario.process.span
    length = scenario.integrator.step_size or abs(end - start) / 10
    length = min(length, abs(end - start))
    return StepSize(length, scenario.integrator.smallest_step or min(1e-4, length / 16))


def build_corrector(
    scenario: Scenario, objective: Objective, solver: LinearSolver | None, tolerance: float
) -> Corrector:
    """The corrector; `solver` is None where nothing solves, `tolerance` on |∇J| applies if the scenario sets none."""
    section = scenario.corrector
    if isinstance(section, schema.NewtonKrylov):
        assert solver is not None  # the scenario solves
        return NewtonKrylov(
            solver=solver,
            tolerance=section.tolerance or tolerance,
            constraint_tolerance=1e-10 if scenario.dtype == "float64" else 1e-5,
            max_iterations=section.max_iterations,
            holds_constraint=section.hold_constraint,
        )
    if isinstance(section, schema.Gradient):
        return Gradient(
            section.steps,
            section.peak_learning_rate,
            section.batch,
            scenario.seed,
            section.schedule,
            section.trace,
        )
    if isinstance(section, schema.VarianceReduced):
        return VarianceReduced(
            _preconditioner_of(solver, objective),
            section.tolerance or tolerance,
            section.batch,
            section.steps,
            section.epochs,
            section.step,
            scenario.seed,
        )
    if isinstance(section, schema.PrimalDual | schema.Geco | schema.NuPi):
        return _stochastic(section, scenario.seed, objective)
    return NoCorrector()


def _stochastic(section: schema.PrimalDual | schema.Geco | schema.NuPi, seed: int, objective: Objective) -> PrimalDual:
    """Minibatch corrector with a rule for the free multipliers; a UserError reports a J or batch it cannot take."""
    if not isinstance(objective, PerDatum):
        raise UserError(f"corrector.method: {section.method} needs the losses of each datum, and this J is no sum")
    if section.batch > (data := max(objective.data.parts.values())):
        raise UserError(f"corrector.batch: must be <= {data}, the number of data, got {section.batch}")
    rule: DualRule = Feedback()
    if isinstance(section, schema.Geco):
        rule = Geco(section.smoothing, section.rate)
    if isinstance(section, schema.NuPi):
        rule = NuPi(section.proportional, section.integral, section.smoothing)
    corrector = PrimalDual(section.batch, section.learning_rate, section.updates, section.epochs, seed=seed, rule=rule)
    if isinstance(section, schema.PrimalDual):
        return replace(corrector, tolerance=section.tolerance, dissipation=section.dissipation)
    return corrector


def preconditioners(*holders: LinearSolver | Minimiser | Monitor | Corrector | None) -> tuple[Preconditioner, ...]:
    """The preconditioners of some parts, each once, for the record of what they cost."""
    found = [getattr(holder, "preconditioner", None) for holder in holders]
    return tuple({id(each): each for each in found if isinstance(each, Preconditioner)}.values())

"""The sections `response`, `integrator` and `corrector` become the parts of a step."""

from __future__ import annotations

from rdc_dyn.dynamics import Corrector, Gradient, Integrator, Monitor, NewtonKrylov, NoCorrector, StepSize
from rdc_dyn.linalg import ConjugateGradient, Dense, Factorised, Identity, LinearSolver, Preconditioner
from rdc_dyn.linalg.factorisation import MAX_SIZE
from rdc_dyn.objective import Objective
from rdc_dyn.scenario import Scenario, schema
from rdc_dyn.status import UserError


def build_preconditioner(name: str, damping: float, objective: Objective) -> Preconditioner:
    """factorised or none.

    Args:
        name: Its name.
        damping: Added to A.
        objective: J, for its size.

    Returns:
        The preconditioner.

    Raises:
        UserError: If A is too large to be factorised.
    """
    if name == "none":
        return Identity()
    if objective.size > MAX_SIZE:
        raise UserError(
            f"response.solver: a factor of {objective.size} parameters is too large (limit {MAX_SIZE}); use method cg "
            "with preconditioner none"
        )
    return Factorised(damping)


def build_solver(scenario: Scenario, objective: Objective) -> LinearSolver:
    """What applies A⁻¹.

    Args:
        scenario: Any.
        objective: J, for its size.

    Returns:
        The solver.
    """
    section = scenario.response.solver
    if isinstance(section, schema.Dense):
        build_preconditioner("factorised", 0.0, objective)
        return Dense(section.damping)
    return ConjugateGradient(
        section.rtol,
        section.max_iterations,
        section.damping,
        build_preconditioner(section.preconditioner, section.damping, objective),
    )


def build_monitor(objective: Objective, solver: LinearSolver, fold: str) -> Monitor:
    """What looks ahead for singular points; shares its preconditioner with the solver where that has one.

    Args:
        objective: J, for its size.
        solver: Applies A⁻¹.
        fold: What is done where a branch ends.

    Returns:
        The monitor.

    Raises:
        UserError: If the branch is to be followed and A is too large to be formed.
    """
    if fold == "follow" and objective.size > MAX_SIZE:
        raise UserError(
            f"process.on_fold: follow forms A, and {objective.size} parameters are too many (limit {MAX_SIZE}); use "
            "stop or relax"
        )
    if isinstance(solver, ConjugateGradient):
        return Monitor(solver.preconditioner)
    return Monitor(build_preconditioner("factorised", 0.0, objective))


def build_integrator(scenario: Scenario) -> Integrator:
    """The predictor.

    Args:
        scenario: Any.

    Returns:
        The integrator.
    """
    section = scenario.integrator
    if isinstance(section, schema.AdaptiveStep) and section.rtol is not None:
        return Integrator(
            section.method, section.rtol, section.atol if section.atol is not None else 1e-2 * section.rtol
        )
    return Integrator(section.method)


def build_step_size(scenario: Scenario) -> StepSize:
    """Length of the segments, at most the span, and the length at which a failing step is given up.

    Args:
        scenario: Any.

    Returns:
        The step size.
    """
    start, end = scenario.process.span
    length = scenario.integrator.step_size or abs(end - start) / 10
    length = min(length, abs(end - start))
    return StepSize(length, scenario.integrator.smallest_step or min(1e-4, length / 16))


def build_corrector(scenario: Scenario, solver: LinearSolver, tolerance: float) -> Corrector:
    """The corrector.

    Args:
        scenario: Any.
        solver: Applies A⁻¹.
        tolerance: On |∇J| where the scenario names none.

    Returns:
        The corrector.
    """
    section = scenario.corrector
    if isinstance(section, schema.NewtonKrylov):
        return NewtonKrylov(
            solver=solver,
            tolerance=section.tolerance or tolerance,
            constraint_tolerance=1e-10 if scenario.dtype == "float64" else 1e-5,
            max_iterations=section.max_iterations,
            holds_constraint=section.hold_constraint,
        )
    if isinstance(section, schema.Gradient):
        return Gradient(section.steps, section.peak_learning_rate)
    return NoCorrector()

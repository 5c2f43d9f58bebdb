"""Build the response model from the section `response`, and describe what is approximate in a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from rdc_dyn.dynamics import (
    Corrector,
    FiniteDifference,
    LinearResponse,
    NoResponse,
    ResponseModel,
    Secant,
    SecantFilter,
    StepSize,
)
from rdc_dyn.linalg import LinearSolver
from rdc_dyn.scenario import Scenario, schema

#: First step of a path whose M is guessed, as a share of the nominal step.
_EXPLORING = 1 / 8
#: First step in t of a transfer by minibatches: the new data are foreign, and C of the target is several nats.
_BOUNDARY_LAYER = 1e-3
_TRANSFERS = ("iso_classification_transfer", "geodesic_transfer")


def solves(scenario: Scenario) -> bool:
    """Whether anything solves with A: the response, or a corrector that uses the solver or its preconditioner."""
    section = scenario.response
    first = isinstance(section, schema.Secant) and section.start == "linear_response"
    corrects = isinstance(scenario.corrector, schema.NewtonKrylov | schema.VarianceReduced)
    return isinstance(section, schema.LinearResponse) or first or corrects


def multiplies(scenario: Scenario) -> bool:
    """Whether a run takes products with A beyond the check of its start; otherwise no graph of ∇J needs to be kept.

    Products are needed for solves, for Newton steps to the first equilibrium and for watching folds.
    """
    return solves(scenario) or scenario.start.equilibrate.newton_steps > 0 or bool(scenario.process.look_ahead)


def build_response(scenario: Scenario, solver: LinearSolver | None, corrector: Corrector) -> ResponseModel:
    """The model of the response M; `solver` is None where nothing solves, `corrector` serves finite differences."""
    section = scenario.response
    if isinstance(section, schema.FiniteDifference):
        return FiniteDifference(corrector, section.shifts, section.predictor, section.reference)
    if isinstance(section, schema.NoResponse):
        return NoResponse()
    if isinstance(section, schema.SecantFilter):
        return SecantFilter()
    linear = None if solver is None else LinearResponse(solver)
    if isinstance(section, schema.Secant):
        predicts = corrector.tolerance is not None if section.predictor is None else section.predictor
        return Secant(linear if section.start == "linear_response" else None, predicts)
    assert linear is not None  # the scenario solves
    return linear


def first_steps(scenario: Scenario, corrector: Corrector, step_size: StepSize) -> StepSize:
    """Shorten the first steps where M is guessed, so that a wrong guess costs little, and in transfers by minibatches.

    A corrector that promises no |∇J| gets no short steps for a guess, as these would teach M its noise.
    """
    if isinstance(scenario.corrector, schema.PrimalDual) and scenario.process.kind in _TRANSFERS:
        return replace(step_size, current=min(_BOUNDARY_LAYER, step_size.nominal))
    guesses = isinstance(scenario.response, schema.Secant) and scenario.response.start == "guess"
    if not guesses or corrector.tolerance is None:
        return step_size
    return replace(step_size, current=max(_EXPLORING * step_size.nominal, step_size.smallest))


def pull(scenario: Scenario, step_size: StepSize) -> float:
    """κ of ḣ = −κ (h − h⁰), zero where the corrector itself restores what is held.

    Secants get 1 / step size by default, because their M does not hold what the process holds.
    """
    corrector = scenario.corrector
    if isinstance(corrector, schema.NewtonKrylov) and corrector.hold_constraint:
        return 0.0
    if isinstance(corrector, schema.PrimalDual | schema.Geco | schema.NuPi):
        return 0.0
    if corrector.baumgarte is not None:
        return corrector.baumgarte
    return 1.0 / step_size.nominal if isinstance(scenario.response, schema.Secant) else 0.0


def approximations(scenario: Scenario, choices: Mapping[str, str | int | float], data: int) -> str:
    """List, for the record, what in a run is approximate besides its discretisation; empty if nothing is.

    `data` is the number of data that J is a sum over, or 0.
    """
    response, corrector, equilibrate = scenario.response, scenario.corrector, scenario.start.equilibrate
    found = []
    if (used := choices.get("curvature_data", data)) != data:
        found.append(f"A from {used} of {data} data")
    if response.solver.damping and solves(scenario):
        found.append(f"A damped by {response.solver.damping:g}")
    if isinstance(response, schema.Secant):
        found.append("response by secant updates")
    if isinstance(response, schema.SecantFilter):
        found.append("response by filtered secants")
    if isinstance(response, schema.FiniteDifference):
        shift = "" if response.delta_gamma is None else f", {response.delta_gamma:g} in gamma"
        found.append(f"response by finite differences of {response.delta:g}{shift}")
        found += [] if response.predictor else ["no predictor"]
    if isinstance(response, schema.NoResponse):
        found.append("no response, no predictor")
    if isinstance(corrector, schema.Gradient) and corrector.batch is not None:
        found.append(f"corrector gradients from minibatches of {corrector.batch}")
    if isinstance(corrector, schema.PrimalDual | schema.Geco | schema.NuPi):
        found.append(f"means of epochs of minibatches of {corrector.batch}")
    if equilibrate.newton_steps == 0 and scenario.start.from_ is None:
        found.append("start by Adam alone")
    return "; ".join(found)

"""The numbers that are recorded of a point, and the warnings that they give rise to."""

import math
import time as clock

import torch

from rdc_dyn.linalg import spectrum
from rdc_dyn.linalg.base import decomposing
from rdc_dyn.record import CONTROLS, FUNCTIONALS, JUMPS, Event, Record
from rdc_dyn.simulate.collapse import collapse
from rdc_dyn.simulate.problem import Point, Problem
from rdc_dyn.status import NumericalFailure, Status

#: Relative difference between frozen and fresh noise beyond which a run warns.
_NOISE_GAP = 0.05


def to_record(problem: Problem, point: Point, *, stability: bool = False) -> Record:
    """The numbers of a point, with the diagnostics of its objective.

    With `stability` these include the smallest eigenvalue of A, and the Morse index where θ is small. Raises NON_FINITE
    where a loss of the diagnostics is not finite.
    """
    at, work = point.at, problem.free_energy.work
    values = dict(zip(CONTROLS, at.controls.tolist())) | dict(zip(FUNCTIONALS, at.functionals.tolist()))
    if stability and problem.response.tangent:  # a run that does without A should not pay for its spectrum
        values |= _stability(problem, point)
    if point.morse_index is not None:
        values["morse_index"] = float(point.morse_index)
    if problem.monitor is not None:
        values["singular_distance"] = point.stability.approach.distance
    if problem.on_fold == "relax":
        values |= {name: point.jump.get(name, 0.0) for name in JUMPS}
    values |= _diagnostics(problem, point) | {
        "free_energy": at.value,
        "weight_penalty": at.weight_penalty,
        "equilibrium_residual": at.residual,
        "constraint_residual": _deviation(problem, point),
        "step_size": point.step_size,
        "vector_field_evaluations": float(work.vector_field_evaluations),
        "gradient_evaluations": float(work.gradient_evaluations),
        "hessian_vector_products": float(work.hessian_vector_products),
        "krylov_iterations": float(work.krylov_iterations),
        "krylov_residual": point.response.residual,
        "corrector_iterations": float(work.corrector_iterations),
        "preconditioner_builds": float(sum(each.builds for each in problem.preconditioners)),
        "preconditioner_products": float(sum(each.products for each in problem.preconditioners)),
        "dissipation": point.dissipation,
        "dissipation_error": point.dissipation_error,
        "wall_time": clock.perf_counter() - problem.began,
        **point.notes,
    }
    if not math.isnan(point.response.solve_error):
        values["response_solve_error"] = point.response.solve_error
    if point.response.estimate is not None:
        values["secant_surprise"] = point.response.estimate.surprise
    error = point.response.error
    return Record(point.time, values, _rows(point.response.matrix), None if error is None else _rows(error))


def _rows(matrix: torch.Tensor) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in matrix.tolist())


@decomposing()
def _diagnostics(problem: Problem, point: Point) -> dict[str, float]:
    at, objective = point.at, problem.free_energy.objective
    lam, gamma, data_position = at.controls.tolist()
    values = dict(objective.diagnostics(at.theta, lam, gamma, data_position))
    for name, value in values.items():
        if not math.isfinite(value):
            raise NumericalFailure(Status.NON_FINITE, f"{name} = {value:.6g} at time {point.time:.6g}")
    if "validation_rate" in values:
        values["validation_free_energy"] = (
            values["validation_rate"]
            + lam * values["validation_distortion"]
            + gamma * values["validation_classification_loss"]
            + at.weight_penalty
        )
    if objective.moves:
        values["free_energy_data_derivative"] = float(point.response.forces[2])
        values["free_energy_data_curvature"] = point.response.data_curvature
    return values


def _deviation(problem: Problem, point: Point) -> float:
    """The deviation w·(R, D, C) − h⁰ of largest magnitude; NaN where nothing is held."""
    if not problem.process.held:
        return math.nan
    deviations = problem.weights(point.held_values) @ point.at.functionals - point.held_values
    return float(deviations[deviations.abs().argmax()])


def _stability(problem: Problem, point: Point) -> dict[str, float]:
    try:
        found = spectrum(point.at, problem.minimiser.preconditioner)
    except NumericalFailure:
        return {"smallest_eigenvalue": math.nan}
    values = {"smallest_eigenvalue": found.smallest}
    return values if found.morse_index is None else values | {"morse_index": float(found.morse_index)}


def saddle(problem: Problem, record: Record) -> Event | None:
    """A warning if λ_min(A) < 0 beyond rounding on a path that should stay on minima, else None.

    Nothing is warned of where folds are followed to their other side, or where no eigenvalue is known.
    """
    smallest = record.values.get("smallest_eigenvalue", math.nan)
    rounding = torch.finfo(problem.start.theta.dtype).eps ** 0.5
    if problem.on_fold == "follow" or not smallest < -rounding:
        return None
    text = (
        f"A has an eigenvalue of {smallest:.3g} or less here: this is no minimum, the branch of minima has ended "
        "before; response.solver.method: cg notices most such ends, so do shorter steps"
    )
    return Event("warning", record.time, text, {"smallest_eigenvalue": smallest})


def noise_gap(record: Record) -> Event | None:
    """A warning if D or C on fresh noise differs by more than 5 % from that on the frozen noise, else None.

    J has then learnt its noise by heart, and its equilibrium means little.
    """
    for name in ("distortion", "classification_loss"):
        fresh, frozen = record.values.get(f"fresh_{name}"), record.values[name]
        if fresh is not None and abs(fresh - frozen) > _NOISE_GAP * abs(frozen):
            text = (
                f"{name} is {frozen:.4g} on the frozen noise but {fresh:.4g} on fresh noise: the noise is being learnt "
                "by heart; raise objective.samples or objective.weight_prior_precision, or use more data"
            )
            return Event("warning", record.time, text, {"frozen": frozen, "fresh": fresh})
    return None


def collapsed(problem: Problem, record: Record) -> Event | None:
    """A warning if codes tell nothing of x, or nothing of y, else None."""
    rate, loss, *controls = (record.values[name] for name in ("rate", "classification_loss", *CONTROLS))
    text = collapse(problem.free_energy.objective, rate, loss, controls)
    return None if text is None else Event("warning", record.time, text, {})

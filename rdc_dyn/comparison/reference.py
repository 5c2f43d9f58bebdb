"""References that runs are measured against: a closed form, the finest run, or a run that the user names."""

import difflib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from rdc_dyn.comparison.exact_path import LOOSER, ExactPathError, closed_form, exact_path
from rdc_dyn.comparison.runs import Run, resolution_key
from rdc_dyn.scenario.given import Given
from rdc_dyn.status import DataError, UserError

CLOSED_FORM, FINEST = "closed_form", "finest"
#: (λ, γ, R, D, C), the quantities in which runs are compared.
COMPARED = ("lam", "gamma", "rate", "distortion", "classification_loss")
_SAME_TIME = 1e-9


@dataclass(frozen=True)
class Reference:
    """What the runs of one problem are measured against.

    Attributes:
        name: closed_form, or the name of a run.
        text: A sentence that describes it.
        at: Maps clock values to a mask of those that it covers and to (λ, γ, R, D, C) there, one row each.
        own_error: Known error of the reference itself in (λ, γ) and in (R, D, C); NaN if unknown.
    """

    name: str
    text: str
    at: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
    own_error: tuple[float, float]


def has_closed_form(run: Run) -> bool:
    """Whether a run's objective has a closed form."""
    scenario = run.scenario
    return scenario is not None and scenario.objective.closed_form and not isinstance(scenario.process, Given)


def choose(runs: Sequence[Run], wanted: str | None) -> Reference:
    """Choose the reference of the runs of one problem, each of which has a trajectory.

    `wanted` is closed_form, finest, or the name of a run or an unambiguous prefix of it; None is closed_form if there
    is one, else finest.
    """
    if wanted is None:
        wanted = CLOSED_FORM if any(map(has_closed_form, runs)) else FINEST
    if wanted == CLOSED_FORM:
        return _exact(runs)
    if wanted == FINEST:
        completed = [run for run in runs if run.completed]
        if not completed:
            raise DataError("compare: no run reached its end, so there is none to be the reference")
        run = min(completed, key=error_budget)
        rule = "smallest (steps taken)^-order, then with a corrector, then the tightest tolerances"
        return _of_run(run, runs, f"finest run {run.name}: {_settings(run)} ({rule})")
    run = named(runs, wanted)
    return _of_run(run, runs, f"run {run.name}: {_settings(run)}")


def named(runs: Sequence[Run], wanted: str) -> Run:
    """The run with this name or unambiguous prefix; raises UserError if there is none, or several."""
    names = [run.name for run in runs]
    found = [name for name in names if name == wanted] or [name for name in names if name.startswith(wanted)]
    if len(found) == 1:
        return runs[names.index(found[0])]
    if found:
        raise UserError(f"--reference {wanted}: {len(found)} runs begin so, such as {found[0]} and {found[1]}")
    near = difflib.get_close_matches(wanted, [*names, FINEST, CLOSED_FORM], n=1, cutoff=0.4)
    hint = f"did you mean {near[0]}?" if near else f"expected {CLOSED_FORM}, {FINEST} or a run such as {names[0]}"
    raise UserError(f"--reference {wanted}: no such run with a trajectory; {hint}")


def error_budget(run: Run) -> tuple[float, bool, float, float]:
    """Sort key (n^−p for n steps of order p, no corrector, its tolerance, rtol of the solves): smaller is finer.

    Steps are counted by evaluations of the vector field, which makes methods with error control comparable.
    """
    assert run.trajectory is not None and run.scenario is not None
    integrator, corrector, solver = run.scenario.integrator, run.scenario.corrector, run.scenario.response.solver
    steps = float(run.trajectory.vector_field_evaluations[-1]) / integrator.stages
    estimate = max(steps, 1.0) ** -integrator.order
    return estimate, not corrector.moves, run.values.get("corrector.tolerance", math.inf), solver.accuracy or 0.0


def _settings(run: Run) -> str:
    values, kind = run.values, resolution_key(run.values)
    return f"{values['integrator.method']}, corrector {values['corrector.method']}, {kind} = {values.get(kind)}"


def table_of(trajectory: xr.Dataset) -> np.ndarray:
    """(λ, γ, R, D, C) of a trajectory, one row per point."""
    return np.stack([trajectory[name].values for name in COMPARED], axis=1)


def _exact(runs: Sequence[Run]) -> Reference:
    """The path on the closed form; where it ends, so does the comparison."""
    run = next((run for run in runs if has_closed_form(run)), runs[0])
    if not has_closed_form(run):
        kind = "this objective" if run.scenario is None else run.scenario.objective.kind
        raise UserError(
            f"--reference closed_form: {kind} has none (linear_gaussian without weight prior has); use finest or a run"
        )
    assert run.trajectory is not None and run.scenario is not None
    surface = closed_form(run.scenario)
    assert surface is not None  # has_closed_form tests the same conditions
    first = run.trajectory.isel(time=0)
    start = np.array([float(first[name]) for name in ("lam", "gamma", "data_position")])
    path = exact_path(run.scenario, surface, start)
    loose = replace(path, rtol=LOOSER, known={})  # the distance between the two bounds the error of the first
    clocks = np.unique(np.concatenate([r.trajectory.time.values for r in runs if r.trajectory is not None]))
    span = path.process.span
    clocks = clocks[np.argsort(clocks * np.sign(span[1] - span[0]))]
    text = "closed form: F by eigenvalues, the path by DOP853 on it"
    reached: list[float] = []
    errors = np.zeros(2)
    for s in clocks:
        try:
            gap = path.losses_and_multipliers(np.array([s])) - loose.losses_and_multipliers(np.array([s]))
        except ExactPathError as stop:
            text += f"; it ends {stop}"
            break
        reached.append(float(s))
        errors = np.maximum(errors, [np.linalg.norm(gap[0, :2]), np.linalg.norm(gap[0, 2:])])
    for before, after in path.pitchforks():
        text += f"; a pitchfork between clocks {before:g} and {after:g}, beyond which it is the new minimum"
    known = set(reached)

    def at(clock: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mask = np.array([s in known for s in clock.tolist()], dtype=bool)
        return mask, path.losses_and_multipliers(clock[mask])

    return Reference(CLOSED_FORM, text, at, (float(errors[0]), float(errors[1])))


def _of_run(run: Run, runs: Sequence[Run], text: str) -> Reference:
    """A run at the clock values it shares; if those are its ends alone, it is interpolated by its own response."""
    trajectory = run.trajectory
    assert trajectory is not None
    own, table = trajectory.time.values, table_of(trajectory)
    span = abs(own[-1] - own[0]) or 1.0

    def at(clock: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        nearest = np.abs(clock[:, None] - own[None, :]).argmin(1)
        mask = np.abs(own[nearest] - clock) <= _SAME_TIME * span
        if mask.sum() > 2 or clock.size <= 2 or own.size <= 2:
            return mask, table[nearest[mask]]
        from rdc_dyn.read.identities import to_common_clock

        inside = (clock - own[0]) * (clock - own[-1]) <= 0
        return inside, table_of(to_common_clock(trajectory, clock[inside]))

    return Reference(run.name, text, at, _richardson(run, runs, at))


def _richardson(
    run: Run, runs: Sequence[Run], at: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
) -> tuple[float, float]:
    """Richardson's estimate |reference − next coarser run of its series| / ((h'/h)^p − 1); p = 1 for tolerances."""
    kind = resolution_key(run.values)
    rest = _rest(run, kind)
    size = run.values.get(kind)
    others = [
        (other.values[kind], other)
        for other in runs
        if other.completed and other is not run and size is not None
        if resolution_key(other.values) == kind and _rest(other, kind) == rest and other.values[kind] > size
    ]
    if not others or size is None:
        return math.nan, math.nan
    coarser, other = min(others, key=lambda pair: pair[0])
    assert other.trajectory is not None
    mask, values = at(other.trajectory.time.values)
    gap = table_of(other.trajectory)[mask] - values
    assert run.scenario is not None
    order = run.scenario.integrator.order if kind == "integrator.step_size" else 1
    gain = (coarser / size) ** order - 1
    return float(np.linalg.norm(gap[:, :2], axis=1).max() / gain), float(
        np.linalg.norm(gap[:, 2:], axis=1).max() / gain
    )


def _rest(run: Run, kind: str) -> dict[str, str]:
    left = ("name", "output.", "threads", kind, "integrator.atol" if kind == "integrator.rtol" else kind)
    return {key: repr(value) for key, value in run.values.items() if not key.startswith(left)}

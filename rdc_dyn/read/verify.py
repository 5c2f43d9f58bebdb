"""Verify a run directory, from its bytes to the identities of the theory."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import xarray as xr

from rdc_dyn.read import identities
from rdc_dyn.record import VARIABLES
from rdc_dyn.status import DataError, Status
from rdc_dyn.store.checkpoint import load_checkpoint
from rdc_dyn.store.commit import sha256
from rdc_dyn.store.dataset import to_dataset
from rdc_dyn.store.disk import below, reported
from rdc_dyn.store.lock import held
from rdc_dyn.store.log import LOG, Logged, read_log
from rdc_dyn.store.run_directory import (
    DIGESTS,
    SCENARIO,
    TRAJECTORY,
    NotBegunError,
    checkpoints,
    expected,
    open_run,
    read_digests,
    read_text,
)


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        name: What was checked.
        verdict: Whether it holds; `open` if the run does not promise it.
        detail: Numbers, or why it is open.
        kind: `files`, whose failure is damage, or `identities`, whose failure is a wrong result.
    """

    name: str
    verdict: Literal["ok", "FAILED", "open"]
    detail: str
    kind: Literal["files", "identities"] = "files"

    @classmethod
    def bounded(cls, name: str, values: np.ndarray, bound: float, judged: str = "") -> Finding:
        """Compare the largest residual, NaN left out, with its bound; `judged`, if not empty, is why it stays open."""
        numbers = np.abs(values[~np.isnan(values)])
        if not numbers.size:
            return cls(name, "open", judged or "no values", "identities")
        detail = f"{numbers.max():.1e}"
        if judged:
            return cls(name, "open", f"{detail}, {judged}", "identities")
        verdict: Literal["ok", "FAILED"] = "ok" if numbers.max() <= bound else "FAILED"
        return cls(name, verdict, f"{detail}, bound {bound:.1e}", "identities")

    @classmethod
    def of(cls, name: str, wrong: str, right: str) -> Finding:
        """A fact about files: FAILED with what is wrong, or else ok with what is right."""
        return cls(name, "FAILED", wrong) if wrong else cls(name, "ok", right)


def files(run: Path, trajectory: xr.Dataset | None) -> Iterator[Finding]:
    """Check the files of a run; `trajectory` is None if it cannot be opened."""
    going_on = held(run)
    if going_on:
        yield Finding("run", "open", "it goes on; what it has committed is checked")
    kept = checkpoints(run)  # before the log, which may grow
    logged = _log(run)
    if isinstance(logged, Finding):
        yield logged
    else:
        yield Finding.of(LOG, logged.damage, f"{len(logged.records)} points, an unbroken chain of digests")
    yield _digests(run, logged, going_on)
    for file in kept:
        if not going_on or file.exists():  # a run removes all but the last ones
            yield Finding.of(f"checkpoint {file.stem}", _checkpoint(run, file), "its digest, its shapes and its log")
    if trajectory is None:
        return
    yield Finding.of("scenario", _scenario(run, trajectory), "the trajectory carries it, with its digest")
    if not isinstance(logged, Finding) and trajectory.attrs["status"] in Status.__members__:
        yield Finding.of("trajectory and log", _differs(trajectory, logged), "the same numbers")


def _log(run: Path) -> Logged | Finding:
    try:
        return read_log(run)
    except DataError as error:
        return Finding.of(LOG, str(error), "")


def _digests(run: Path, logged: Logged | Finding, going_on: bool) -> Finding:
    ended = (run / TRAJECTORY).exists() or (
        isinstance(logged, Logged) and any(event["event"] == "end" for event in logged.events)
    )
    try:
        listed = read_digests(run)
        if not listed and (going_on or not ended):
            return Finding(DIGESTS, "open", "the run has not ended, so there is none yet")
        names = [str(file.relative_to(run)) for file in expected(run)]
    except DataError as error:
        return Finding.of(DIGESTS, str(error), "")
    if not listed:
        return Finding.of(DIGESTS, "missing, though the run has ended; if it was killed then, use rdc-dyn resume", "")
    missing = [name for name in names if name not in listed]
    told = [f"lacks {', '.join(missing)}"] * bool(missing)
    wrong = []
    for name, digest in listed.items():
        try:
            with reported(run / name, "cannot be read"):
                if sha256(below(run, *name.split("/"))) != digest:
                    wrong.append(name)
        except DataError as error:
            told.append(str(error))
    told += [f"other bytes than when they were written: {', '.join(wrong)}"] * bool(wrong)
    return Finding.of(DIGESTS, "; ".join(told), f"{len(listed)} files")


def _checkpoint(run: Path, file: Path) -> str:
    try:
        mark = load_checkpoint(file).log
        logged = read_log(run, mark.length)
    except DataError as error:
        return str(error)
    return "" if logged.mark == mark else logged.damage or f"it belongs to another {LOG}, or to a longer one"


def _differs(trajectory: xr.Dataset, logged: Logged) -> str:
    """How the trajectory differs from the log, empty if it does not."""
    again = to_dataset(logged.records, {})
    if again.sizes["time"] != trajectory.sizes["time"]:
        return f"the log has {again.sizes['time']} points, the trajectory {trajectory.sizes['time']}"
    for name in {*again.variables, *trajectory.variables}:
        one, other = (part[name].values if name in part.variables else np.array([]) for part in (trajectory, again))
        if one.dtype.kind == "f" and not np.array_equal(one, other, equal_nan=True):
            return f"{name} differs"
    return ""


def _scenario(run: Path, trajectory: xr.Dataset) -> str:
    text = str(trajectory.attrs["scenario"])
    if hashlib.sha256(text.encode()).hexdigest() != trajectory.attrs.get("scenario_sha256"):
        return "the trajectory's attributes scenario and scenario_sha256 do not belong together"
    try:
        same = read_text(run, SCENARIO) == text
    except DataError as error:
        return str(error)
    return "" if same else f"{SCENARIO} is not the scenario that the trajectory carries"


#: Share of ∫ |D dλ| + |C dγ| + |∂_tF dt| that fourth-order quadrature may miss on a path with sensible steps.
_QUADRATURE = 1e-2
#: Relative asymmetry of a response from linear solves.
_SOLVED = {"float64": 1e-5, "float32": 1e-2}
#: Relative rounding error of sums of losses.
_ROUNDING = {"float64": 1e-10, "float32": 1e-4}
#: Deviation in nats from what a corrector holds, a little more than it promises.
_HELD = {"float64": 1e-9, "float32": 1e-4}
_NEVER_NAN = ("lam", "gamma", "rate", "distortion", "classification_loss", "free_energy", "weight_penalty")


def points(trajectory: xr.Dataset) -> Iterator[Finding]:
    """Check the clock, the numbers and the counters of a trajectory with at least one point."""
    clock = np.diff(trajectory["time"].values)
    monotone = bool((clock > 0).all() or (clock < 0).all())
    yield Finding.of("clock", "" if monotone else "it stands still or turns round", f"monotone, {len(clock)} steps")
    wrong = [name for name in _NEVER_NAN if name in trajectory and not np.isfinite(trajectory[name].values).all()]
    yield Finding.of("numbers", f"not finite: {', '.join(wrong)}" * bool(wrong), "finite")
    counters = [name for name, v in VARIABLES.items() if "cumulative" in v.long_name and name in trajectory]
    falling = [name for name in counters if (np.diff(trajectory[name].values) < 0).any()]
    yield Finding.of("counters", f"falling: {', '.join(falling)}" * bool(falling), "cumulative")


def laws(trajectory: xr.Dataset) -> Iterator[Finding]:
    """Check the identities of the theory on a trajectory with at least one point.

    A finding is open if the run approximates what its identity is about.
    """
    plain, attributes = trajectory.reset_coords(), trajectory.attrs
    dtype = str(attributes.get("dtype", "float64"))
    total = plain.rate + plain.lam * plain.distortion + plain.gamma * plain.classification_loss + plain.weight_penalty
    size = abs(plain.free_energy) + abs(plain.lam * plain.distortion) + abs(plain.gamma * plain.classification_loss)
    yield Finding.bounded("F = R + λD + γC + Ω", ((plain.free_energy - total) / size).values, _ROUNDING[dtype])
    on = bool(identities.equilibrium_mask(trajectory).all())
    guaranteed = str(attributes.get("guarantees", "")).split()
    solved = "response" in guaranteed and not attributes.get("approximations")
    off = "" if on else "some points are not on the surface"
    approximate = off or ("" if solved else "the response is approximate")
    yield Finding.bounded("D_γ = C_λ", identities.maxwell_residual(trajectory).values, _SOLVED[dtype], approximate)
    yield _concave(trajectory, _SOLVED[dtype], approximate)
    scale = _work(plain)
    closure = identities.free_energy_closure(trajectory).values / scale
    yield Finding.bounded("∂F/∂λ = D, ∂F/∂γ = C", closure, _QUADRATURE, approximate or _jumps(trajectory))
    first = identities.first_law_residual(trajectory).values / scale
    yield Finding.bounded("dR = −λdD − γdC − dΩ + ∂_tF dt", first, _QUADRATURE, approximate or _jumps(trajectory))
    if "dissipation" in plain:
        yield _dissipation(plain, "" if "surface" in guaranteed else "no corrector returns to the surface")
    held = plain["constraint_residual"].values if "constraint_residual" in plain else np.array([np.nan])
    free = "" if "constraint" in guaranteed else "no corrector restores it to rounding"
    yield Finding.bounded("what is held", held, _HELD[dtype], free)
    if "line" in guaranteed:
        straight = np.array([identities.geodesic_straightness(trajectory)])
        yield Finding.bounded("(R, D) on a line", straight, 1e-6 if dtype == "float64" else 1e-2, free)


def _dissipation(plain: xr.Dataset, judged: str) -> Finding:
    """θ may lose free energy along the path but never gain it, beyond three standard errors."""
    error = plain["dissipation_error"].values if "dissipation_error" in plain else np.zeros(plain.sizes["time"])
    missing = np.maximum(-plain["dissipation"].values - 3 * error, 0.0)
    return Finding.bounded("dissipation ≥ 0", missing, 0.0, judged)


def _concave(trajectory: xr.Dataset, bound: float, judged: str) -> Finding:
    """Hess F ⪯ 0 where θ is a minimum, but not on a branch that is followed beyond a fold."""
    values = identities.hessian_eigenvalues(trajectory).values
    if "morse_index" in trajectory:
        values = values[~(trajectory["morse_index"].values > 0)]
    largest = np.abs(values).max(axis=-1) if len(values) else np.array([np.nan])
    above = np.maximum(values.max(axis=-1), 0.0) / np.where(largest > 0, largest, 1.0) if len(values) else largest
    return Finding.bounded("Hess F ⪯ 0", above, bound, judged)


def _work(plain: xr.Dataset) -> float:
    """∫ |D dλ| + |C dγ| + |∂_tF dt|, or the size of F if no work is done."""
    done = 0.0
    pairs = (("lam", "distortion"), ("gamma", "classification_loss"), ("data_position", "free_energy_data_derivative"))
    for control, force in pairs:
        if force in plain:
            steps, middle = np.diff(plain[control].values), plain[force].values
            done += float(np.nansum(np.abs(steps * 0.5 * (middle[1:] + middle[:-1]))))
    return done or float(np.abs(plain["free_energy"].values).max()) or 1.0


def _jumps(trajectory: xr.Dataset) -> str:
    return "the path has jumps" if "jump_theta" in trajectory and (trajectory["jump_theta"].values > 0).any() else ""


def verify(run: str | os.PathLike[str]) -> list[Finding]:
    """Check a run directory, finished or not, or a `trajectory.nc` alone; raises DataError if it does not exist."""
    path = Path(run)
    if not path.exists():
        raise DataError(f"{path}: no such run directory")
    found = list[Finding]()
    trajectory = None
    try:
        trajectory = open_run(path)
    except NotBegunError:
        found.append(Finding("trajectory", "open", "nothing was computed yet"))
    except DataError as error:
        found.append(Finding.of("trajectory", str(error), ""))
    if path.is_dir():
        found += files(path, trajectory)
    if trajectory is not None and trajectory.sizes["time"]:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # numbers that overflow satisfy no identity
            found += [*points(trajectory), *laws(trajectory)]
    return found

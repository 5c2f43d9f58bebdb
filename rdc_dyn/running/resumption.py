"""Resume a run from its last checkpoint: on the same machine, bit for bit as if it had never been stopped."""

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal

import xarray as xr

from rdc_dyn import scenario as scenarios
from rdc_dyn.dynamics import Corrector, Integrator, Process, ResponseModel
from rdc_dyn.objective import Objective
from rdc_dyn.objective.own_modules import Own
from rdc_dyn.record import Event
from rdc_dyn.running.build import Built, build
from rdc_dyn.running.own_files import own_networks
from rdc_dyn.running.passed import passed
from rdc_dyn.running.progress import Callback, Progress, Silent, chosen
from rdc_dyn.running.recorder import Recorder
from rdc_dyn.running.runner import carry, describe_run, guarded
from rdc_dyn.running.signals import Signals
from rdc_dyn.scenario import Document, Scenario
from rdc_dyn.scenario.written import by_key
from rdc_dyn.simulate import Frozen, Point, Problem, Training, thaw, thaw_training
from rdc_dyn.status import RESUMABLE, DataError, NumericalFailure, Status, UserError
from rdc_dyn.store.checkpoint import Checkpoint, load_checkpoint
from rdc_dyn.store.commit import commit
from rdc_dyn.store.disk import below
from rdc_dyn.store.lock import Lock
from rdc_dyn.store.log import LOG, Logged, read_log
from rdc_dyn.store.run_directory import DIGESTS, SCENARIO, TRAJECTORY, checkpoints, open_run
from rdc_dyn.store.run_writer import InMemory, RunWriter

#: Attributes that identify a run; a difference is refused unless forced.
_PROGRAM = ("source", "versions", "commit", "source_digest", "data_digest", "coupling_digest", "parameters")
#: Attributes that may change the last bits.
_MACHINE = ("platform", "processor", "device", "threads", "processes", "backend")


class NoCheckpointError(DataError):
    """All checkpoints of a run are damaged."""


@dataclass(frozen=True)
class Found:
    """Where a run can be resumed.

    Attributes:
        path: File of the checkpoint.
        logged: What the log says up to there.
        said: What had to be skipped, one clause each.
    """

    path: Path
    checkpoint: Checkpoint
    logged: Logged
    said: tuple[str, ...]


def resume(
    run: str | os.PathLike[str],
    *,
    device: str | None = None,
    max_time: float | None = None,
    force: bool = False,
    progress: Progress | Callback | Literal["auto", False] | None = "auto",
    networks: Own | None = None,
    trust: bool = False,
    process: Process | None = None,
    objective: Objective | None = None,
    response: ResponseModel | None = None,
    corrector: Corrector | None = None,
    integrator: Integrator | None = None,
) -> xr.Dataset:
    """Resume a run that was killed, interrupted or stopped by a limit.

    Args:
        run: The run directory.
        device: Overrides the scenario's device: auto, cpu, cuda or cuda:N.
        max_time: Seconds after which the run stops, at the next point or while the start is trained.
        force: Resume even if the scenario, the program or the data differ from those of the checkpoint, or the run has
            ended; the trajectory's attribute `history` then says what changed.
        progress: Receives the progress of the run; "auto" shows a live display on a terminal, a bar in a notebook and
            lines elsewhere, False or None nothing. A function is called at each recorded point with its index in the
            trajectory and a dictionary of its numbers, with the names of the dataset, `time` and the `fraction` of the
            span that is done. An exception of this function becomes a `RunWarning`, and the run goes on.
        networks: The modules that `run` was given, if the scenario has parts of kind module.
        trust: Whether the code of files that the scenario names may run; files that have changed are refused.
        process: The object that `run` was given in place of this section; one with another source is refused.
        objective: Likewise.
        response: Likewise.
        corrector: Likewise.
        integrator: Likewise.

    Returns:
        The trajectory, as from `run`; that of a complete run is returned as it is.

    Raises:
        UserError: If another process is writing to the directory, `progress` is neither a function nor
            shows progress, or `force` is not set and either something changed or the run has stopped for a
            numerical reason.
        DataError: If there is no run, or none of its checkpoints can be used.
    """
    path, began, shown = Path(run), time.monotonic(), chosen(progress)
    given = passed(process=process, objective=objective, response=response, corrector=corrector, integrator=integrator)
    document, scenario = _scenario(path)
    # Digests are written last: without them the run died before it was finished.
    ended = open_run(path) if (path / DIGESTS).is_file() and (path / TRAJECTORY).is_file() and not force else None
    if ended is not None and ended.attrs["status"] not in RESUMABLE:
        if ended.attrs["status"] == Status.COMPLETED.name:
            return ended
        status = Status[ended.attrs["status"]]
        raise UserError(
            f"{path}: the run ended, {status.value}; after a change of {path / SCENARIO} rdc-dyn resume --force goes "
            "on from its last checkpoint"
        )

    begun = scenario
    scenario, networks = own_networks(scenario, networks, document, trust=trust, renew=force)
    rewritten = None if scenario == begun else scenarios.dump(scenario)
    if device is not None:
        scenario = scenario.model_copy(update={"device": device})
    make = partial(build, folder=path, device=device, networks=networks, given=given)
    built = make(scenario)
    signals = Signals(deaf=not built.leads)
    if not built.leads:
        max_time, shown = None, Silent()

    def program() -> xr.Dataset:
        lock = Lock.take(path, "another run") if built.leads else None
        try:
            recorder = Recorder(scenario, built, built.problem, InMemory(), shown, signals, rebuild=make)
            attributes, point = _restored(recorder, path, lock, force=force)
            if lock is not None and rewritten is not None:
                with signals.held():
                    commit(path / SCENARIO, rewritten.encode())
            return carry(recorder, attributes, point, began, max_time)
        finally:
            if lock is not None:
                lock.release()

    return guarded(program, built, signals)


def _scenario(path: Path) -> tuple[Document, Scenario]:
    if not (path / SCENARIO).is_file():
        raise DataError(f"{path}: no run to resume, {SCENARIO} is missing; begin with rdc-dyn run SCENARIO -o {path}")
    # The run wrote this file with absolute paths, which may lead anywhere.
    document = replace(scenarios.read(below(path, SCENARIO)), folder=None)
    return document, scenarios.absolute(scenarios.resolve(document), path)


def _restored(
    recorder: Recorder, path: Path, lock: Lock | None, *, force: bool
) -> tuple[dict[str, str | int | float], Point | Training | None]:
    """Let the recorder go on where the last checkpoint is: the attributes, and the state; None begins again."""
    built, signals = recorder.built, recorder.signals
    attributes = describe_run(recorder.scenario, built)
    found = None if lock is None else _find(path, built)  # process 0 holds the lock
    found = found if built.group is None else built.group.from_leader(found)
    before = {} if found is None else found.logged.attributes
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if found is None:
        text = f"{now} begun again, there was no checkpoint yet"
        if lock is not None:
            with signals.held():
                recorder.store = RunWriter.reopen(path, lock, None)
        return attributes | {"history": f"{attributes['history']}\n{text}"}, None
    changed = list(_changes(before, attributes)) if lock is not None else []
    if changed and not force:
        raise UserError(
            f"{path}: not the run that {found.path.name} is of: {'; '.join(changed)}; with rdc-dyn resume --force it "
            "goes on all the same, and the trajectory says so"
        )
    recorder.problem, state, difference, recorder.warned = _thaw(found, built)
    where = f"step {state.step} of the start" if isinstance(state, Training) else f"time {state.time:.8g}"
    text = "; ".join(
        [
            f"{now} resumed at {where} from {found.path.name}",
            *found.said,
            *(f"{each} (forced)" for each in changed),
            _sameness(before, attributes, difference, same=not changed),
        ]
    )
    count = len(found.logged.records)
    recorder.store = InMemory(logged=found.logged, count=count)
    if lock is not None:
        with signals.held():
            recorder.store = RunWriter.reopen(path, lock, (found.path, found.checkpoint.log, count))
    recorder.progress.event(Event("resumed", found.checkpoint.time, text.partition(" ")[2], {"points": count}))
    return attributes | {"history": f"{before['history']}\n{text}"}, state


def _find(path: Path, built: Built) -> Found | None:
    """The newest intact checkpoint whose log is intact up to it."""
    files, said = checkpoints(path), list[str]()
    for file in files:
        try:
            checkpoint = load_checkpoint(file, built.problem.start.theta.numel())
            logged = read_log(path, checkpoint.log.length)
            if logged.mark != checkpoint.log:
                raise DataError(f"{file}: {logged.damage or f'not of this {LOG}'}")
            return Found(file, checkpoint, logged, tuple(said))
        except DataError as error:
            said.append(f"passed over: {error}")
    if files:
        raise NoCheckpointError(f"{path}: no checkpoint can be used; {'; '.join(said)}")
    return None


def _thaw(found: Found, built: Built) -> tuple[Problem, Point | Training, float, frozenset[str]]:
    values = found.checkpoint.values
    frozen = Frozen(found.checkpoint.tensors, values)
    try:
        warned = frozenset(values["warned"])
        if found.checkpoint.begun:
            return *thaw(built.problem, frozen), warned
        return *thaw_training(built.problem, frozen), 0.0, warned
    except NumericalFailure as failure:
        raise DataError(f"{found.path}: {failure}") from None
    except DataError as error:
        raise DataError(f"{found.path}: {error}") from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{found.path}: not a state of this program ({type(error).__name__}: {error})") from None


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """What makes this another run than that of the checkpoint, one clause each."""
    if before.get("scenario_sha256") != now["scenario_sha256"]:
        yield f"the scenario has changed ({_differences(str(before.get('scenario')), str(now['scenario']))})"
    for name in _PROGRAM:
        if before.get(name) != now.get(name):
            yield f"{name} was {_short(before.get(name), now.get(name))}"


def _differences(before: str, now: str) -> str:
    """Dotted keys that differ between two resolved scenarios, with both values."""
    try:
        old, new = (by_key(scenarios.loads(text).model_dump(by_alias=True, mode="json")) for text in (before, now))
    except UserError:
        return "the old one can no longer be read"
    keys = [key for key in sorted({*old, *new}) if old.get(key) != new.get(key)]
    return ", ".join(f"{key}: {old.get(key)} -> {new.get(key)}" for key in keys[:6]) + ", ..." * (len(keys) > 6)


def _short(before: Any, now: Any) -> str:
    """Both values; of lists of versions only the entries that differ."""
    old, new = (str(value).split(", ") for value in (before, now))
    if len(old) > 1:
        return f"{', '.join(o for o in old if o not in new)} -> {', '.join(n for n in new if n not in old)}"
    return f"{before} -> {now}"


def _sameness(before: Mapping[str, Any], now: Mapping[str, Any], difference: float, *, same: bool) -> str:
    """Whether the bits are those of a run that was never stopped, and if not, why."""
    moved = [f"{name} {before.get(name)} -> {now.get(name)}" for name in _MACHINE if before.get(name) != now.get(name)]
    if same and not moved and difference == 0.0:
        return "same program, machine and threads: the same bits as without the stop"
    if difference:
        moved.append(f"J, its gradient or a preconditioner are off by {difference:.1e}, relative")
    return "the same as without the stop only to tolerance" + f" ({', '.join(moved)})" * bool(moved)

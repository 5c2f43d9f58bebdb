"""Run a scenario to a trajectory: the outermost call, with files, limits and signals."""

import gc
import hashlib
import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Literal

import torch
import xarray as xr

from rdc_dyn import scenario as scenarios
from rdc_dyn.dynamics import Corrector, Integrator, Process, ResponseModel
from rdc_dyn.linalg.base import allocating
from rdc_dyn.objective import Objective
from rdc_dyn.objective.own_modules import Own
from rdc_dyn.record import Event
from rdc_dyn.running.build import Built, build
from rdc_dyn.running.own_files import own_networks
from rdc_dyn.running.passed import overrides, passed
from rdc_dyn.running.progress import Callback, Outlook, Progress, Silent, chosen
from rdc_dyn.running.recorder import Recorder
from rdc_dyn.running.signals import Signals
from rdc_dyn.scenario import Scenario, Source
from rdc_dyn.simulate import Point, Training, simulate, thaw
from rdc_dyn.status import Diverged, NumericalFailure, Status, Terminated, UserError, warn
from rdc_dyn.store.provenance import made_by
from rdc_dyn.store.run_writer import InMemory, RunWriter, Store

#: Graphs that the evaluation of a block may take besides its own: one for each vector in a batch (see `evaluation`).
_BATCH = 8


def run(
    scenario: Source,
    output: str | os.PathLike[str] | None = None,
    *,
    device: str | None = None,
    max_time: float | None = None,
    progress: Progress | Callback | Literal["auto", False] | None = "auto",
    networks: Own | None = None,
    trust: bool = False,
    process: Process | None = None,
    objective: Objective | None = None,
    response: ResponseModel | None = None,
    corrector: Corrector | None = None,
    integrator: Integrator | None = None,
) -> xr.Dataset:
    """Run a scenario.

    Args:
        scenario: A scenario, a mapping with its keys, the path of a YAML file, or the name of a shipped example.
        output: Run directory to write; None keeps everything in memory.
        device: Overrides the scenario's device: auto, cpu, cuda or cuda:N.
        max_time: Seconds after which the run stops, at the next point or while the start is trained.
        progress: Receives the progress of the run; "auto" shows a live display on a terminal, a bar in a notebook and
            lines elsewhere, False or None nothing. A function is called at each recorded point with its index in the
            trajectory and a dictionary of its numbers, with the names of the dataset, `time` and the `fraction` of the
            span that is done. An exception of this function becomes a `RunWarning`, and the run goes on.
        networks: A `torch.nn.Module` for each part of the objective whose kind is module, such as
            `{"encoder": module}`. Its parameters are copied into θ and are not modified; `load_networks` returns the
            trained modules.
        trust: Whether the code of files that the scenario names (`objective.encoder.path`, say) may run, with all that
            you may do.
        process: Moves the controls in place of the scenario's section of this name. Like the four that follow, it is
            recorded by its qualified name and a digest of its source, and `resume` has to be given it again.
        objective: Gives J.
        response: Gives θ_c and M.
        corrector: Returns to the surface.
        integrator: Integrates the vector field over one step of `integrator.step_size`.

    Returns:
        The trajectory. Its attribute `status` names a `Status`, and `status_message` is the sentence that belongs to
        it. A run that stops for a numerical reason raises no exception: it issues a `RunWarning` and returns what was
        computed. Under torchrun every process returns the trajectory of process 0, which alone writes, warns and
        reports to `progress`, and raises what that process raises.

    Raises:
        ScenarioError: If the scenario has errors; all are listed.
        UserError: If the run directory is not empty, the device does not exist, the modules do not fit the
            scenario, an object does not fit its section, code is to be run that is not trusted, `progress`
            is neither a function nor shows progress, or a geodesic aims at a point whose classification
            loss is not that of its start.
        DataError: If data cannot be used or files cannot be written.
    """
    began, shown = time.monotonic(), chosen(progress)
    given = passed(process=process, objective=objective, response=response, corrector=corrector, integrator=integrator)
    document = scenarios.read(scenario)
    document = scenarios.apply_overrides(document, overrides(given, document))
    resolved, folder = scenarios.resolve(document), document.folder or Path.cwd()
    if resolved.sweep is not None:
        raise UserError(f"{resolved.name}: its section sweep makes it many runs; use rdc-dyn sweep, or rdc_dyn.sweep")
    resolved, networks = own_networks(scenarios.absolute(resolved, folder), networks, document, trust=trust)
    if device is not None:  # the run directory records the device in use
        resolved = resolved.model_copy(update={"device": device})

    make = partial(build, folder=folder, device=device, networks=networks, given=given)
    built = make(resolved)
    signals = Signals(deaf=not built.leads)
    if not built.leads:
        output, max_time, shown = None, None, Silent()

    def program() -> xr.Dataset:
        store: Store = InMemory() if output is None else RunWriter.create(Path(output), scenarios.dump(resolved))
        recorder = Recorder(resolved, built, built.problem, store, shown, signals, rebuild=make)
        return carry(recorder, describe_run(resolved, built), None, began, max_time)

    return guarded(program, built, signals)


def guarded(program: Callable[[], xr.Dataset], built: Built, signals: Signals) -> xr.Dataset:
    """Run a program on all processes of a run, with signals that do not cut a commit in two."""
    with signals.guarded():
        return program() if built.group is None else built.group.together(program, signals.held)


def describe_run(scenario: Scenario, built: Built) -> dict[str, str | int | float]:
    """Attributes of a run's trajectory, which netCDF takes as strings and numbers only."""
    group, text = built.group, scenarios.dump(scenario)
    return {
        "title": scenario.name,
        **made_by(),
        "scenario": text,
        "scenario_sha256": hashlib.sha256(text.encode()).hexdigest(),
        "seed": scenario.seed,
        "device": built.device_name,
        "dtype": scenario.dtype,
        "threads": torch.get_num_threads(),
        "processes": 1 if group is None else group.world,
        **({} if group is None else {"backend": group.backend(built.device)}),
        "data_digest": built.data_digest,
        **({} if built.coupling_digest is None else {"coupling_digest": built.coupling_digest}),
        "parameters": built.problem.free_energy.objective.size,
        **built.choices,
    }


def carry(
    recorder: Recorder,
    attributes: Mapping[str, str | int | float],
    resumed: Point | Training | None,
    began: float,
    max_time: float | None,
) -> xr.Dataset:
    """Simulate, record and return the trajectory; `began` is the start by the monotonic clock."""
    store = recorder.store
    fresh = resumed is None and store.lasting and not store.count
    try:
        with recorder.signals.held():
            store.begin(attributes)
        end = drive(recorder, resumed, began, max_time)
        while end.values["status"] == Status.OUT_OF_MEMORY.name and shrink(recorder, end):
            end = drive(recorder, None if recorder.last is None else recorder.last.point, began, max_time)
        trajectory = recorder.finish(end)
    except UserError:
        if fresh and not store.count:
            store.discard()
        raise
    finally:
        recorder.progress.close()
        store.close()
    if end.values["status"] != Status.COMPLETED.name:
        warn(f"{end.values['status']}: {end.text}")
    return trajectory


def drive(recorder: Recorder, resumed: Point | Training | None, began: float, max_time: float | None) -> Event:
    """Pass points and events from the simulation to the recorder until it ends, time is up, or a signal arrives."""
    clock, last = recorder.scenario.process.span
    minimiser = recorder.problem.minimiser
    watch = Outlook(recorder.progress, minimiser.tolerance, minimiser.max_steps, clock)
    try:
        with allocating():
            if isinstance(resumed, Point) and not recorder.has(resumed):
                recorder.point(resumed, resumed=True)
            for item in simulate(recorder.problem, watch if recorder.built.leads else None, resumed):
                if isinstance(item, Event):
                    if item.kind == "end":
                        recorder.complete()
                        return item
                    recorder.event(item)
                    continue
                if isinstance(item, Training):
                    recorder.train(item)
                else:
                    clock = item.time
                    recorder.point(item)
                if max_time is not None and time.monotonic() - began > max_time and clock != last:
                    return _stopped(clock, Status.TIME_LIMIT, f"{max_time:g} s")
    except MemoryError as error:
        return _stopped(clock, Status.OUT_OF_MEMORY, (str(error).splitlines() or ["no reason given"])[0][:200])
    except Diverged:
        return _stopped(clock, Status.DIVERGED, "")
    except KeyboardInterrupt as signal:
        return _stopped(clock, Status.INTERRUPTED, "SIGTERM" if isinstance(signal, Terminated) else "SIGINT")
    except NumericalFailure as failure:  # from a point's diagnostics; the simulation handles its own
        return _stopped(clock, failure.status, failure.detail)
    raise RuntimeError("a simulation ends with an event")


def shrink(recorder: Recorder, end: Event) -> bool:
    """After running out of memory, rebuild J for blocks of at most half as many data; False if none are smaller."""
    choices = recorder.built.choices
    block, each = int(choices.get("linearisation_block", 0)), float(choices.get("graph_bytes_per_datum", 0.0))
    if recorder.rebuild is None or recorder.built.group is not None or block < 2 or not each:
        return False
    recorder.release()
    while block >= 2:
        block //= 2
        try:
            with allocating():
                _in_blocks(recorder, block, each)
        except MemoryError:
            continue
        text = f"out of memory ({end.values['detail']}); going on in smaller blocks of {block} data"
        recorder.event(Event("warning", end.time, text, {"block": block}))
        return True
    return False


def _in_blocks(recorder: Recorder, block: int, each: float) -> None:
    """Rebuild the problem for blocks of `block` data, at `each` bytes per datum."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    graphs = 1 + _BATCH * (recorder.built.choices["linearisation_products"] == "batched")
    memory = 1e-9 * each * (block + 0.5) * graphs
    scenario = recorder.scenario
    section = scenario.linearisation.model_copy(update={"graph": "recomputed", "memory": memory})
    assert recorder.rebuild is not None
    built = recorder.rebuild(scenario.model_copy(update={"linearisation": section}))
    problem, point = built.problem, None
    if recorder.last is not None:
        problem, point, _ = thaw(problem, recorder.last.state)
    recorder.restart(built, problem, point)


def _stopped(clock: float, status: Status, detail: str) -> Event:
    return Event("end", clock, status.value, {"status": status.name, "detail": detail})

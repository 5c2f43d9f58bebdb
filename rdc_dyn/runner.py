"""A scenario becomes a trajectory: the outermost call, with files, limits and signals."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
import xarray as xr

from rdc_dyn import scenario as scenarios
from rdc_dyn.build import Built, build
from rdc_dyn.output.checkpoint import Checkpoint, save_checkpoint
from rdc_dyn.output.dataset import to_dataset
from rdc_dyn.output.events import EVENTS, as_mappings, to_text
from rdc_dyn.output.progress import Progress, Silent
from rdc_dyn.output.provenance import provenance
from rdc_dyn.output.record import Event, Record
from rdc_dyn.output.run_directory import RunWriter
from rdc_dyn.parts import Own
from rdc_dyn.scenario import Scenario
from rdc_dyn.simulate import Point, noise_gap, simulate, to_record
from rdc_dyn.status import Status, UserError


class RunWarning(UserWarning):
    """A run ended early, or its result should not be trusted as it stands."""


class Interrupted(KeyboardInterrupt):
    """SIGTERM, handled like SIGINT but with its own exit code."""

    exit_code = 143


@dataclass
class Recorder:
    """Keeps records, and writes them as they come.

    Attributes:
        scenario: What is run.
        built: What it became.
        writer: Writes the run directory, or None in memory.
        progress: Tells the user.
        records: Recorded so far.
        events: What happened between them.
    """

    scenario: Scenario
    built: Built
    writer: RunWriter | None
    progress: Progress
    records: list[Record]
    events: list[Event] = field(default_factory=list)
    warned: bool = False
    unrecorded: Point | None = None
    last: Point | None = None
    checkpointed: int = -1

    def point(self, point: Point) -> None:
        """Record the point if it is its turn."""
        self.last = point
        if point.index % self.scenario.output.every and not point.jump:
            self.unrecorded = point
            return
        self._record(point)

    def _record(self, point: Point) -> None:
        # A signal may come at any line: the point counts as unrecorded until its record is in the list.
        self.unrecorded = point
        turn = len(self.records) % self.scenario.output.checkpoint_every == 0
        start, end = self.scenario.process.span
        record = to_record(self.built.problem, point, stability=turn or point.time == end)
        self.records.append(record)
        self.unrecorded = None
        if self.writer is not None:
            self.writer.record(record)
            if turn:
                self._checkpoint(point)
        self.progress.record(record, (point.time - start) / (end - start))
        gap = noise_gap(record)
        if gap is not None and not self.warned:
            self.warned = True
            warnings.warn(gap.text, RunWarning, stacklevel=2)
            self.event(gap)

    def event(self, event: Event) -> None:
        """Keep an event, log it and show it."""
        self.events.append(event)
        if self.writer is not None:
            self.writer.event(event)
        self.progress.event(event)

    def finish(self, end: Event) -> None:
        """Record and checkpoint the last point, whatever its turn, and log the end."""
        if self.unrecorded is not None:
            self._record(self.unrecorded)
        if self.last is not None and self.writer is not None:
            self._checkpoint(self.last)
        self.event(end)

    def _checkpoint(self, point: Point) -> None:
        index = len(self.records) - 1
        if self.writer is None or self.scenario.output.theta == "none" or index == self.checkpointed:
            return
        digest = f"{self.scenario.objective.kind} {self.built.data_digest}"
        checkpoint = Checkpoint(point.at.theta, point.at.controls, point.time, digest)
        save_checkpoint(self.writer.checkpoint_path(index), checkpoint)
        self.checkpointed = index


def run(
    scenario: Scenario | Mapping[str, Any] | str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    device: str | None = None,
    max_time: float | None = None,
    progress: Progress | None = None,
    networks: Own | None = None,
) -> xr.Dataset:
    """Run a scenario.

    Args:
        scenario: A scenario, a mapping with its keys, or the path of a YAML file.
        output: Run directory to write; None keeps everything in memory.
        device: Overrides the scenario's device.
        max_time: Stop after so many seconds, at the next recorded point.
        progress: Told how the run goes on.
        networks: A torch.nn.Module for each part of the objective whose kind is module, such as {"encoder": module}.
            Its parameters are copied into theta and stay as they are; `load_networks` gives what became of them.

    Returns:
        The trajectory. Its attribute `status` names a `Status`, `status_message` is the sentence that belongs to it: a
        numerical stop is no exception, what was computed up to there is returned (and a `RunWarning` given). Under
        torchrun every process returns the trajectory of process 0, which alone writes, warns and tells `progress`, and
        raises what that raises.

    Raises:
        ScenarioError: If the scenario has errors; it lists all of them.
        UserError: If the run directory is not empty, a device is not there, modules do not fit the scenario, or a
            geodesic aims at a point that is not at the classification loss of its start.
        DataError: If data cannot be used or files not be written.
    """
    folder = Path.cwd()
    if isinstance(scenario, (str, os.PathLike)):
        folder, scenario = Path(scenario).resolve().parent, scenarios.load(scenario)
    elif not isinstance(scenario, Scenario):
        scenario = scenarios.from_mapping(scenario)
    return run_scenario(
        scenario, folder, output, device=device, max_time=max_time, progress=progress, networks=networks
    )


def run_scenario(
    scenario: Scenario,
    folder: Path,
    output: str | os.PathLike[str] | None = None,
    *,
    device: str | None = None,
    max_time: float | None = None,
    progress: Progress | None = None,
    networks: Own | None = None,
) -> xr.Dataset:
    """Run a loaded scenario; see `run`.

    Args:
        scenario: What to run.
        folder: Folder that relative paths of the scenario start from.
        output: Run directory to write.
        device: Overrides the scenario's device.
        max_time: Seconds.
        progress: Told how the run goes on.
        networks: Modules for parts of the objective.

    Returns:
        The trajectory.

    Raises:
        UserError: As `run` does.
    """
    began = time.monotonic()
    if scenario.sweep is not None:
        raise UserError(f"{scenario.name}: its section sweep makes it many runs; use rdc-dyn sweep, or rdc_dyn.sweep")
    scenario = scenarios.absolute(scenario, folder)
    built = build(scenario, folder, device, networks)
    follow = partial(_follow, scenario, built, output, began, max_time, progress or Silent())
    return follow() if built.team is None else built.team.lead(follow)


def _follow(
    scenario: Scenario,
    built: Built,
    output: str | os.PathLike[str] | None,
    began: float,
    max_time: float | None,
    progress: Progress,
) -> xr.Dataset:
    """Simulate and write; see `run`."""
    text, team = scenarios.dump(scenario), built.team
    attributes = provenance(
        name=scenario.name,
        scenario=text,
        seed=scenario.seed,
        device=built.device_name,
        dtype=scenario.dtype,
        threads=torch.get_num_threads(),
        processes=1 if team is None else team.group.world,
        backend=None if team is None else team.group.backend(built.device),
        data_digest=built.data_digest,
        coupling_digest=built.coupling_digest,
        parameters=built.problem.free_energy.objective.size,
        choices=built.choices,
    )
    writer = None if output is None else RunWriter.create(Path(output), text)
    recorder = Recorder(scenario, built, writer, progress, [])
    try:
        if writer is not None:
            writer.begin(attributes)
        end = _drive(recorder, began, max_time)
        recorder.finish(end)
        status = {"status": end.values["status"], "status_message": end.text, "status_detail": end.values["detail"]}
        bracket = {name: end.values[name] for name in ("stopped_after", "stopped_before") if name in end.values}
        happened = {EVENTS: to_text(as_mappings(recorder.events))}
        trajectory = to_dataset(recorder.records, {**attributes, **status, **bracket, **happened})
        if writer is not None:
            writer.finish(trajectory)
    except UserError:
        if writer is not None and not recorder.records:
            writer.discard()
        raise
    finally:
        progress.close()
        if writer is not None:
            writer.close()
    if end.values["status"] != Status.COMPLETED.name:
        warnings.warn(f"{end.values['status']}: {end.text}", RunWarning, stacklevel=2)
    return trajectory


def _drive(recorder: Recorder, began: float, max_time: float | None) -> Event:
    """Take points and events from the simulation until it ends, the time is up, or a signal comes."""
    clock = recorder.scenario.process.span[0]
    try:
        for item in simulate(recorder.built.problem, recorder.progress.equilibrating):
            if isinstance(item, Event):
                if item.kind == "end":
                    return item
                recorder.event(item)
                continue
            recorder.point(item)
            clock = item.time
            if (
                max_time is not None
                and time.monotonic() - began > max_time
                and clock != recorder.scenario.process.span[1]
            ):
                status = Status.TIME_LIMIT
                return Event("end", clock, status.value, {"status": status.name, "detail": f"{max_time:g} s"})
    except KeyboardInterrupt as signal:
        status = Status.INTERRUPTED
        detail = "SIGTERM" if isinstance(signal, Interrupted) else "SIGINT"
        return Event("end", clock, status.value, {"status": status.name, "detail": detail})
    raise AssertionError("a simulation ends with an event")

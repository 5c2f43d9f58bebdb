"""Plan a sweep, and run it from beginning to end."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rdc_dyn import scenario as scenarios
from rdc_dyn.read.shown import Shown
from rdc_dyn.scenario import Document
from rdc_dyn.scenario.sources import modules_of_files
from rdc_dyn.status import ExitCode, UserError, plain
from rdc_dyn.store.provenance import program
from rdc_dyn.store.sweep_directory import Manifest, SweptRun, coordinate_names, read_point
from rdc_dyn.sweeps.directory import NETWORKS, clear, discard_unfinished, join_manifest, locked, write_failure
from rdc_dyn.sweeps.grid import Grid, GridPoint, Grids, choose_grids, resolve_points
from rdc_dyn.sweeps.progress import SweepProgress, chosen, describe
from rdc_dyn.sweeps.worker import Task
from rdc_dyn.sweeps.workers import LocalWorkers, drive

if TYPE_CHECKING:
    from rdc_dyn.objective.own_modules import Own
    from rdc_dyn.running.progress import Callback

#: Points in the table that a notebook shows; the rest are counted.
_SHOWN = 20


@dataclass(frozen=True)
class SweepResult:
    """The result of a sweep.

    Attributes:
        path: The sweep directory.
        points: The points that were asked for, as they are on disk now.
        ran: Names of the points that this call ran.
    """

    path: Path
    points: tuple[SweptRun, ...]
    ran: tuple[str, ...]

    def __repr__(self) -> str:
        """How many points there are of each kind, and where."""
        return plain(f"<SweepResult: {self._counts}>")

    def _repr_html_(self) -> str:
        """The counts, and a table of the points with those first that did not run to their end."""
        points = sorted(self.points, key=lambda point: point.state == "done")
        rows = [(each.name, describe(each.values), each.state, each.message) for each in points[:_SHOWN]]
        rest = [f"and {len(points) - _SHOWN} more"] * (len(points) > _SHOWN)
        return Shown("SweepResult", [self._counts], ("point", "values", "state", "message"), rows, rest).html()

    @property
    def _counts(self) -> str:
        states = Counter(point.state for point in self.points)
        told = ", ".join(f"{count} {state}" for state, count in states.most_common())
        return f"{told} of {len(self.points)} points in {self.path}"

    @property
    def failed(self) -> tuple[SweptRun, ...]:
        """Points that stopped numerically or left no trajectory."""
        return tuple(point for point in self.points if point.state == "failed")

    @property
    def exit_code(self) -> ExitCode:
        """Whether every point ran to its end."""
        return ExitCode.COMPLETE if all(point.state == "done" for point in self.points) else ExitCode.SWEEP


@dataclass(frozen=True)
class Plan:
    """A validated sweep: the scenario with its overrides, the swept keys and all points."""

    document: Document
    keys: tuple[str, ...]
    points: tuple[GridPoint, ...]


def plan(
    scenario: scenarios.Source,
    grid: Grid | Sequence[Grid] | Grids | None = None,
    overrides: Sequence[str] = (),
) -> Plan:
    """Validate every point of a sweep without running any; `overrides` are `key=value` and apply to all points."""
    document = scenarios.read(scenario, overrides)
    grids = choose_grids(document, grid)
    coordinate_names(grids.keys)  # keys that an opened sweep could not tell apart are refused before anything runs
    return Plan(document, grids.keys, tuple(resolve_points(document, grids, document.folder or Path.cwd())))


def sweep(
    scenario: Plan | scenarios.Source,
    grid: Grid | Sequence[Grid] | None = None,
    *,
    output: str | os.PathLike[str],
    jobs: int = 1,
    executor: Executor | None = None,
    threads: int | None = None,
    device: str | None = None,
    networks: Own | None = None,
    trust: bool = False,
    fail_fast: bool = False,
    retry_failed: bool = False,
    add: bool = False,
    progress: SweepProgress | Callback | Literal["auto", False] | None = None,
) -> SweepResult:
    """Run a scenario at every point of a grid, except for points that the directory already holds.

    A script that calls this needs `if __name__ == "__main__":`, since workers are new processes.

    Args:
        scenario: A scenario, a mapping with its keys, the path of a YAML file, or the name of a shipped example;
            or a sweep that `plan` has validated.
        grid: Values by dotted key, every combination of which is a point, or a sequence of such grids. None takes the
            section `sweep` of the scenario.
        output: Sweep directory, new or from an earlier call.
        jobs: Number of worker processes on this machine.
        executor: Runs the points elsewhere, in place of `jobs`; its workers must see the directory under the same path.
        threads: CPU threads of each run whose scenario does not set them; None divides the cores among the jobs.
        device: Overrides the scenario's device: auto, cpu, cuda or cuda:N.
        networks: Modules for the parts of the objective whose kind is module, as `run` takes them; they are sent to the
            workers, so that their classes must be importable there. A sweep goes on with the same ones only.
        trust: Whether the code of files that the scenario names may run, here and in the workers, which must see these
            files under the same paths.
        fail_fast: Start no further point after the first failure; points that are running still finish.
        retry_failed: Run failed points again.
        add: Add points that the sweep in the directory lacks; without it, they are refused.
        progress: Receives the progress of the sweep; "auto" shows a live table on a terminal and lines elsewhere, False
            or None nothing. A function is called at each point that ends, with its number from 0 and a dictionary of
            the numbers `done`, `failed` and `fraction`; its exceptions become a `RunWarning`.

    Returns:
        The points as they are now, and the names of those that this call ran.

    Raises:
        ScenarioError: If any point has mistakes; all are listed, and nothing is run.
        UserError: If there is nothing to sweep, two keys would be the same dimension, the modules do not
            fit a point, code is to be run that is not trusted, `progress` is neither a function nor shows
            progress, the directory belongs to another sweep or program version, or another sweep is writing
            to it.
        DataError: If files cannot be written.
    """
    shown, made = chosen(progress), scenario if isinstance(scenario, Plan) else plan(scenario, grid)
    if jobs < 1:
        raise UserError(f"jobs: {jobs} worker processes; expected at least 1")
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise UserError("a sweep starts processes of its own: call it without torchrun")
    threads = threads or max(1, (os.cpu_count() or 1) // jobs)
    path, text = Path(output).absolute(), scenarios.dump_tree(made.document.tree)
    text += _modules(made, networks, trust=trust)
    with locked(path):
        manifest = join_manifest(path, text, made.keys, made.points, add=add)
        wanted = [read_point(manifest, point.name) for point in made.points]
        again = ("missing", "failed") if retry_failed else ("missing",)
        texts = {point.name: point.text for point in made.points}
        tasks = [
            Task(p.name, texts[p.name], manifest.run(p.name), threads, device, program(), networks, trust)
            for p in wanted
            if p.state in again
        ]
        for task in tasks:
            clear(manifest, task.name)
        shown.begin({task.name: manifest.points[task.name] for task in tasks}, len(wanted) - len(tasks))
        try:
            ran = _run(tasks, manifest, executor or LocalWorkers(jobs, threads), executor is None, fail_fast, shown)
        finally:
            shown.close()
        return SweepResult(path, tuple(read_point(manifest, point.name) for point in made.points), ran)


def _modules(made: Plan, networks: Own | None, *, trust: bool) -> str:
    """Make the modules of all points once, so that a mistake stops the sweep; what the manifest says of passed ones."""
    if not networks and not any(modules_of_files(point.scenario) for point in made.points):
        return ""
    from rdc_dyn.objective.own_modules import check_own, digest
    from rdc_dyn.running.own_files import own_networks

    seen: set[str] = set()
    for point in made.points:
        section = point.scenario.objective
        if str(section.networks) not in seen:
            _, own = own_networks(point.scenario, networks, made.document, trust=trust)
            check_own(section.kind, section.networks, own)
            seen.add(str(section.networks))
    return f"{NETWORKS}{digest(networks)}\n" if networks else ""


def _run(
    tasks: Sequence[Task], manifest: Manifest, executor: Executor, ours: bool, fail_fast: bool, progress: SweepProgress
) -> tuple[str, ...]:
    """Run the tasks, record those that fail, and return the names of those that ended."""
    ran: list[str] = []
    try:
        for outcome in drive(tasks, executor, progress, fail_fast=fail_fast):
            if outcome.status == "FAILED":
                write_failure(manifest, outcome.name, outcome.exit_code, outcome.message, outcome.traceback)
            ran.append(outcome.name)
            progress.outcome(outcome)
    except BaseException:
        executor.shutdown(cancel_futures=True)
        if ours:  # on a cluster, a run that has begun may still finish
            discard_unfinished(manifest, [task.name for task in tasks if task.name not in ran])
        raise
    if ours:
        executor.shutdown()
    return tuple(ran)

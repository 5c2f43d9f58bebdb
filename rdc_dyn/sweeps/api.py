"""A sweep from beginning to end."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rdc_dyn import scenario as scenarios
from rdc_dyn.output.sweep_directory import PACKED, Manifest, SweptRun, read_point
from rdc_dyn.scenario import Document, Scenario
from rdc_dyn.status import UserError
from rdc_dyn.sweeps.directory import clear, discard_unfinished, join_manifest, locked, program, write_failure
from rdc_dyn.sweeps.drive import drive
from rdc_dyn.sweeps.grid import Grid, Grids, choose_grids
from rdc_dyn.sweeps.local import LocalWorkers
from rdc_dyn.sweeps.points import Point, resolve_points
from rdc_dyn.sweeps.progress import Count, SweepProgress
from rdc_dyn.sweeps.worker import Task


@dataclass(frozen=True)
class SweepResult:
    """What a sweep has come to.

    Attributes:
        path: The sweep directory.
        points: Those that were asked for, as they are on disk now.
        ran: Names of those that this call has run.
    """

    path: Path
    points: tuple[SweptRun, ...]
    ran: tuple[str, ...]

    @property
    def failed(self) -> tuple[SweptRun, ...]:
        """Points that stopped numerically, or left no trajectory."""
        return tuple(point for point in self.points if point.state == "failed")

    @property
    def exit_code(self) -> int:
        """0 if every point ran to its end, else 6."""
        return 0 if all(point.state == "done" for point in self.points) else 6


@dataclass(frozen=True)
class Plan:
    """What is to be swept, validated.

    Attributes:
        document: The scenario, with its overrides.
        keys: Swept keys.
        points: All points.
    """

    document: Document
    keys: tuple[str, ...]
    points: tuple[Point, ...]


def plan(
    scenario: Scenario | Mapping[str, Any] | str | os.PathLike[str],
    grid: Grid | Sequence[Grid] | Grids | None = None,
    overrides: Sequence[str] = (),
) -> Plan:
    """Validate every point of a sweep, and run none.

    Args:
        scenario: As `sweep`.
        grid: As `sweep`.
        overrides: `key=value` each, of all points.

    Returns:
        The points.

    Raises:
        ScenarioError: With every mistake of any point.
        UserError: If there is nothing to sweep, or the file cannot be read.
    """
    folder = Path(scenario).resolve().parent if isinstance(scenario, (str, os.PathLike)) else Path.cwd()
    document = scenarios.apply_overrides(scenarios.read(scenario), overrides)
    grids = choose_grids(document, grid)
    return Plan(document, grids.keys, tuple(resolve_points(document, grids, folder)))


def sweep(
    scenario: Scenario | Mapping[str, Any] | str | os.PathLike[str],
    grid: Grid | Sequence[Grid] | None = None,
    *,
    output: str | os.PathLike[str],
    jobs: int = 1,
    executor: Executor | None = None,
    threads: int | None = None,
    device: str | None = None,
    fail_fast: bool = False,
    retry_failed: bool = False,
    progress: SweepProgress | None = None,
) -> SweepResult:
    """Run a scenario at every point of a grid; what the directory already holds is not run again.

    A script that calls this needs `if __name__ == "__main__":`, since workers are new processes.

    Args:
        scenario: A scenario, a mapping with its keys, or the path of a YAML file.
        grid: Values by dotted key, every combination of which is a point; several such grids; or None for the section
            `sweep` of the scenario.
        output: Sweep directory, new or begun.
        jobs: Worker processes on this machine.
        executor: Workers elsewhere, in place of `jobs`; they see the directory under the same path.
        threads: CPU threads of each run whose scenario does not say; None shares the cores among the jobs.
        device: Overrides the scenario's device.
        fail_fast: Begin nothing more after the first failure; what is running then still ends.
        retry_failed: Run again what has failed.
        progress: Told how the sweep goes on.

    Returns:
        The points as they are now.

    Raises:
        ScenarioError: If any point has mistakes; all are listed, and nothing is run.
        UserError: If the directory belongs to another sweep or program version, or another sweep is writing there.
        DataError: If files cannot be written.
    """
    made = plan(scenario, grid)
    return run_plan(
        made,
        Path(output),
        jobs=jobs,
        executor=executor,
        threads=threads,
        device=device,
        fail_fast=fail_fast,
        retry_failed=retry_failed,
        progress=progress or Count(),
    )


def run_plan(
    made: Plan,
    path: Path,
    *,
    jobs: int,
    executor: Executor | None,
    threads: int | None,
    device: str | None,
    fail_fast: bool,
    retry_failed: bool,
    progress: SweepProgress,
) -> SweepResult:
    """Run a validated sweep; see `sweep`.

    Args:
        made: What to run.
        path: Sweep directory.
        jobs: As `sweep`.
        executor: As `sweep`.
        threads: As `sweep`.
        device: As `sweep`.
        fail_fast: As `sweep`.
        retry_failed: As `sweep`.
        progress: As `sweep`.

    Returns:
        The points as they are now.

    Raises:
        UserError: As `sweep`.
    """
    if jobs < 1:
        raise UserError(f"jobs: {jobs} worker processes; expected at least 1")
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise UserError("a sweep starts processes of its own: call it without torchrun")
    threads = threads or max(1, (os.cpu_count() or 1) // jobs)
    path = path.absolute()
    with locked(path):
        manifest = join_manifest(path, scenarios.dump_tree(made.document.tree), made.keys, made.points)
        wanted = [read_point(manifest, point.name) for point in made.points]
        again = ("missing", "failed") if retry_failed else ("missing",)
        texts = {point.name: point.text for point in made.points}
        tasks = [
            Task(p.name, texts[p.name], manifest.run(p.name), path / PACKED / p.name, threads, device, program())
            for p in wanted
            if p.state in again
        ]
        for task in tasks:
            clear(manifest, task.name)
        progress.begin({task.name: manifest.points[task.name] for task in tasks}, len(wanted) - len(tasks))
        try:
            ran = _run(tasks, manifest, executor or LocalWorkers(jobs, threads), executor is None, fail_fast, progress)
        finally:
            progress.close()
        return SweepResult(path, tuple(read_point(manifest, point.name) for point in made.points), ran)


def _run(
    tasks: Sequence[Task],
    manifest: Manifest,
    executor: Executor,
    ours: bool,
    fail_fast: bool,
    progress: SweepProgress,
) -> tuple[str, ...]:
    """Run the tasks, and keep what is left of those that failed."""
    ran: list[str] = []
    try:
        for outcome in drive(tasks, executor, progress, fail_fast=fail_fast):
            if outcome.status == "FAILED":
                write_failure(manifest, outcome.name, outcome.exit_code, outcome.message, outcome.traceback)
            ran.append(outcome.name)
            progress.outcome(outcome)
    except BaseException:
        executor.shutdown(cancel_futures=True)
        if ours:  # on a cluster a run that has begun may still end well
            discard_unfinished(manifest, [task.name for task in tasks if task.name not in ran])
        raise
    if ours:
        executor.shutdown()
    return tuple(ran)

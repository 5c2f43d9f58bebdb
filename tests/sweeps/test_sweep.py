"""Sweeps that run: reruns, failures, killed workers, killed sweeps, other executors."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import xarray as xr
from click.testing import CliRunner

import rdc_dyn
from rdc_dyn.cli import main
from rdc_dyn.record import Record
from rdc_dyn.running.progress import Silent
from rdc_dyn.scenario import dump, from_mapping, loads
from rdc_dyn.status import DataError, UserError
from rdc_dyn.store.lock import Lock
from rdc_dyn.store.run_directory import TRAJECTORY, checkpoints, open_run
from rdc_dyn.store.sweep_directory import FORMAT, MANIFEST, read_sweep
from rdc_dyn.sweeps import SweepResult, plan, sweep
from rdc_dyn.sweeps.worker import Outcome, Task, run_point
from rdc_dyn.sweeps.workers import LocalWorkers, WorkerDied
from tests.tiny import linear_gaussian

_ROOT = Path(rdc_dyn.__file__).parents[1]
_STEPS = [0.2, 0.1]
#: Two that work, one that does not reach its start, and one whose start is not there.
_MIXED: list[dict[str, list[Any]]] = [
    {"integrator.step_size": _STEPS},
    {"start.equilibrate.newton_steps": [0]},
    {"start.from": ["/nowhere"]},
]


def _scenario() -> dict[str, Any]:
    return linear_gaussian(start={"equilibrate": {"adam_steps": 5}}, integrator={"step_size": 0.4})


def _content(path: Path) -> dict[str, tuple[bytes, int]]:
    """Bytes and times of change of all whole trajectories."""
    return {f.parent.name: (f.read_bytes(), f.stat().st_mtime_ns) for f in path.glob(f"runs/*/{TRAJECTORY}")}


def _bits(path: Path) -> dict[str, xr.Dataset]:
    """All trajectories without what depends on when they were computed."""
    runs = {folder.name: open_run(folder).drop_vars("wall_time") for folder in (path / "runs").iterdir()}
    for run in runs.values():
        del run.attrs["history"]
    return runs


class InThisProcess(Executor):
    """Runs at once, here: quick, since torch is imported already."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        self.seen.append(arguments[0].name)
        future: Future[Any] = Future()
        future.set_result(function(*arguments))
        return future


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SweepResult]:
    path = tmp_path_factory.mktemp("sweep") / "mixed"
    return path, sweep(_scenario(), _MIXED, output=path, threads=1)


def test_failed_points_do_not_stop_the_rest(mixed: tuple[Path, SweepResult]) -> None:
    path, result = mixed
    assert [point.state for point in result.points] == ["done", "done", "failed", "failed"]
    assert len(result.ran) == 4
    assert result.exit_code == 6
    assert repr(result) == f"<SweepResult: 2 done, 2 failed of 4 points in {path}>"
    stopped, lost = result.failed
    assert "nowhere" in result._repr_html_()
    assert stopped.status == "NOT_AT_EQUILIBRIUM"
    assert open_run(path / "runs" / stopped.name).attrs["status"] == "NOT_AT_EQUILIBRIUM"
    assert lost.status == "FAILED"
    assert "nowhere" in lost.message
    assert json.loads((path / "failed" / f"{lost.name}.json").read_text())["exit_code"] == 4
    assert not (path / "runs" / lost.name).exists()


def test_the_directory_says_what_it_is(mixed: tuple[Path, SweepResult]) -> None:
    path, result = mixed
    manifest = json.loads((path / MANIFEST).read_text())
    assert manifest["format"] == FORMAT
    assert manifest["keys"] == ["integrator.step_size", "start.equilibrate.newton_steps", "start.from"]
    assert [p["name"] for p in manifest["points"]] == [p.name for p in result.points]
    assert rdc_dyn.scenario.loads(manifest["scenario"]).integrator.step_size == 0.4
    assert read_sweep(path).points == result.points


def test_a_run_of_a_sweep_is_the_run_itself(mixed: tuple[Path, SweepResult]) -> None:
    path, result = mixed
    alone = rdc_dyn.run(_scenario() | {"integrator": {"method": "euler", "step_size": 0.2}})
    swept = open_run(path / "runs" / result.points[0].name)
    assert swept.drop_vars("wall_time").equals(alone.drop_vars("wall_time"))
    assert swept.attrs["scenario"] == alone.attrs["scenario"]


def test_a_rerun_does_only_what_is_missing(mixed: tuple[Path, SweepResult]) -> None:
    path, first = mixed
    before = _content(path)
    here = InThisProcess()
    assert sweep(_scenario(), _MIXED, output=path, executor=here).points == first.points
    assert here.seen == []
    wider = [{"integrator.step_size": [*_STEPS, 0.3]}, *_MIXED[1:]]
    with pytest.raises(
        UserError, match=r"sweep of 4 points without integrator\.step_size=0\.3, .*; extend it with --add"
    ):
        sweep(_scenario(), wider, output=path, executor=here)
    assert here.seen == [] and before == _content(path)
    more = sweep(_scenario(), wider, output=path, executor=here, add=True)
    assert here.seen == list(more.ran) == [more.points[2].name]
    assert before.items() <= _content(path).items()
    assert len(read_sweep(path).points) == 5


def test_failed_points_are_retried_when_asked(mixed: tuple[Path, SweepResult]) -> None:
    path, first = mixed
    here = InThisProcess()
    again = sweep(_scenario(), _MIXED, output=path, executor=here, threads=1, retry_failed=True)
    assert here.seen == [point.name for point in first.failed]
    assert [p.state for p in again.points] == [p.state for p in first.points]


def test_an_interrupted_or_lost_run_is_missing(mixed: tuple[Path, SweepResult]) -> None:
    path, first = mixed
    name = first.points[1].name
    file = path / "runs" / name / TRAJECTORY
    whole = file.read_bytes()
    trajectory = open_run(file)
    for damage in ("interrupted", "cut", "gone"):
        if damage == "interrupted":
            trajectory.assign_attrs(status="INTERRUPTED").to_netcdf(file)
        elif damage == "cut":
            file.write_bytes(whole[:1000])
        else:
            file.unlink()
        assert read_sweep(path).points[1].state == "missing", damage
        here = InThisProcess()
        assert sweep(_scenario(), _MIXED, output=path, executor=here, threads=1).points[1].state == "done"
        assert here.seen == [name]


def test_another_program_version_is_refused(mixed: tuple[Path, SweepResult], monkeypatch: pytest.MonkeyPatch) -> None:
    path, _ = mixed
    for module in ("directory", "api", "worker"):
        monkeypatch.setattr(f"rdc_dyn.sweeps.{module}.program", lambda: "rdc_dyn 9.9 other")
    with pytest.raises(UserError, match="versions are not mixed"):
        sweep(_scenario(), _MIXED, output=path, executor=InThisProcess())


def test_a_worker_of_another_version_takes_no_part(tmp_path: Path) -> None:
    outcome = run_point(Task("x", "", tmp_path / "x", 1, None, "rdc_dyn 9.9 other"))
    assert outcome.exit_code == 2
    assert "give both the same" in outcome.message


def test_other_keys_and_other_scenarios_are_refused(mixed: tuple[Path, SweepResult]) -> None:
    path, _ = mixed
    with pytest.raises(UserError, match=r"sweeps integrator\.step_size, .* not seed"):
        sweep(_scenario(), {"seed": [1]}, output=path, executor=InThisProcess())
    with pytest.raises(UserError, match="of another scenario"):
        sweep(_scenario() | {"seed": 5}, _MIXED, output=path, executor=InThisProcess())


def test_two_sweeps_do_not_write_into_one_directory(mixed: tuple[Path, SweepResult]) -> None:
    path, _ = mixed
    with open(path / ".lock") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="another sweep is writing here"):
            sweep(_scenario(), _MIXED, output=path, executor=InThisProcess())


def _half_done(path: Path) -> tuple[dict[str, Any], Path]:
    """A sweep of one point that was cut off after a checkpoint; its scenario and its run directory."""
    tree = linear_gaussian(output={"checkpoint_every": 1})
    point = plan(tree, {"seed": [1]}).points[0]
    sweep(tree, {"seed": [1]}, output=path, executor=Refusing())
    with pytest.warns(rdc_dyn.RunWarning):
        rdc_dyn.run(rdc_dyn.scenario.loads(point.text), path / "runs" / point.name, max_time=1e-9)
    return tree, path / "runs" / point.name


class Refusing(InThisProcess):
    """Runs nothing."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.cancel()
        future.set_running_or_notify_cancel()
        return future


def _files(path: Path) -> dict[str, bytes]:
    """All that a directory holds, but for who has locked it."""
    return {str(file): file.read_bytes() for file in path.rglob("*") if file.is_file() and file.name != ".lock"}


def _failure(path: Path) -> str:
    [file] = (path / "failed").iterdir()
    return str(json.loads(file.read_text())["message"])


def test_a_run_that_somebody_resumes_is_not_removed(tmp_path: Path) -> None:
    tree, run = _half_done(tmp_path / "s")
    before = _files(run)
    lock = Lock.take(run, "a resumed run")
    result = sweep(tree, {"seed": [1]}, output=tmp_path / "s", executor=InThisProcess())
    assert "another run is writing here" in _failure(tmp_path / "s") and result.exit_code == 6
    assert _files(run) == before
    lock.release()
    again = sweep(tree, {"seed": [1]}, output=tmp_path / "s", executor=InThisProcess(), retry_failed=True)
    assert again.exit_code == 0 and "resumed at time" in open_run(run).attrs["history"]


class _Pausing(Silent):
    """Stops the process, as Ctrl-Z does, at the first point that it records."""

    def record(self, record: Record, fraction: float) -> None:
        os.kill(os.getpid(), signal.SIGSTOP)


def _resume_and_pause(run: Path) -> None:
    rdc_dyn.resume(run, progress=_Pausing())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the state of a process in /proc")
def test_a_resume_that_was_paused_loses_nothing_to_a_repeated_sweep(tmp_path: Path) -> None:
    from rdc_dyn.read.verify import verify  # imports torch, as the next line does: not in the workers
    from tests.reliability.made import same_bits, spawn

    tree, run = _half_done(tmp_path / "s")
    whole = rdc_dyn.run(rdc_dyn.scenario.loads((run / "scenario.yaml").read_text()))
    process = spawn(_resume_and_pause, run)
    for _ in range(whole.sizes["time"]):
        while process.is_alive() and Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
            time.sleep(0.01)
        if not process.is_alive():
            break
        before = _files(run)
        result = sweep(tree, {"seed": [1]}, output=tmp_path / "s", executor=InThisProcess(), retry_failed=True)
        assert "another run is writing here" in _failure(tmp_path / "s") and result.exit_code == 6
        assert _files(run) == before
        os.kill(process.pid or 0, signal.SIGCONT)
        time.sleep(0.1)
    process.join(60)
    assert process.exitcode == 0
    assert same_bits(open_run(run), whole)
    assert not [finding for finding in verify(run) if finding.verdict == "FAILED"]


def test_a_full_disk_does_not_cost_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree, run = _half_done(tmp_path / "s")
    before = [file.read_bytes() for file in checkpoints(run)]
    usage = shutil.disk_usage(tmp_path)
    with monkeypatch.context() as full:
        full.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
        result = sweep(tree, {"seed": [1]}, output=tmp_path / "s", executor=InThisProcess())
    assert "MB are needed" in _failure(tmp_path / "s") and result.exit_code == 6
    assert [file.read_bytes() for file in checkpoints(run)] == before
    again = sweep(tree, {"seed": [1]}, output=tmp_path / "s", executor=InThisProcess(), retry_failed=True)
    assert again.exit_code == 0 and "resumed at time" in open_run(run).attrs["history"]


def test_a_scenario_that_cannot_be_read_does_not_cost_a_checkpoint(tmp_path: Path) -> None:
    tree, run = _half_done(tmp_path / "s")
    (run / "scenario.yaml").write_bytes(b"\xff")
    before = _files(run)
    result = sweep(tree, {"seed": [1]}, output=tmp_path / "s", executor=InThisProcess())
    assert "cannot be read" in _failure(tmp_path / "s") and result.exit_code == 6
    assert _files(run) == before


def test_another_grid_does_not_remove_what_an_unfinished_sweep_has(tmp_path: Path) -> None:
    tree, run = _half_done(tmp_path / "s")
    before = _files(tmp_path / "s")
    with pytest.raises(UserError, match=r"is a sweep of 1 points without seed=2 and 1 more; extend it with --add"):
        sweep(tree, {"seed": [2, 3]}, output=tmp_path / "s", executor=InThisProcess())
    assert _files(tmp_path / "s") == before and checkpoints(run)


def test_a_directory_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(UserError, match="is no sweep directory"):
        sweep(_scenario(), _MIXED, output=tmp_path, executor=InThisProcess())
    with pytest.raises(DataError, match="not a sweep directory"):
        read_sweep(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_fail_fast_begins_nothing_more(tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as one:
        grid = [_MIXED[2], {"seed": list(range(6))}]
        result = sweep(_scenario(), grid, output=tmp_path / "s", executor=one, threads=1, fail_fast=True)
    # One may have begun before the failure was known.
    assert result.points[0].state == "failed"
    assert sum(point.state == "missing" for point in result.points) >= 4
    assert result.exit_code == 6


def test_an_unexpected_exception_is_an_outcome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rdc_dyn.running.runner.run", lambda *_, **__: 1 / 0)
    result = sweep(_scenario(), {"seed": [1]}, output=tmp_path / "s", executor=InThisProcess())
    assert result.failed[0].message == "ZeroDivisionError: division by zero"
    left = json.loads((tmp_path / "s" / "failed" / f"{result.failed[0].name}.json").read_text())
    assert left["traceback"].startswith("Traceback")
    assert left["exit_code"] == 1


# --- processes ------------------------------------------------------------------------------------------------------


def _pid(_: object) -> int:
    return os.getpid()


def _threads(_: object) -> tuple[str, bool]:
    return os.environ["OMP_NUM_THREADS"], "torch" in sys.modules


def _killed(_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_dies_fails_its_own_call_and_is_replaced() -> None:
    with LocalWorkers(1, 1) as workers:
        first = workers.submit(_pid, 0).result()
        with pytest.raises(WorkerDied, match="killed by SIGKILL; perhaps out of memory") as died:
            workers.submit(_killed, 0).result()
        assert died.value.exit_code == 137
        assert workers.submit(_pid, 0).result() not in (first, os.getpid())
        with pytest.raises(ZeroDivisionError):
            workers.submit(divmod, 1, 0).result()
        with pytest.raises(Exception, match="pickle"):
            workers.submit(lambda: 0).result()


def test_threads_are_set_before_anything_is_imported() -> None:
    before = dict(os.environ)
    with LocalWorkers(1, 3) as workers:
        assert workers.submit(_threads, 0).result() == ("3", False)
    assert dict(os.environ) == before


class _Poisoned(Executor):
    """Kills the worker of every point whose name is in a file; a name with `once` only the first time."""

    def __init__(self, file: Path) -> None:
        self.file, self.inner = file, LocalWorkers(1, 1)

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        return self.inner.submit(_poisoned, str(self.file), *arguments)


def _poisoned(file: str, task: Task) -> Outcome:
    victims = json.loads(Path(file).read_text())
    if victims.get(task.name, 0) > 0:
        victims[task.name] -= 1
        Path(file).write_text(json.dumps(victims))
        task.path.mkdir(exist_ok=True)  # as far as it came
        os.kill(os.getpid(), signal.SIGKILL)
    return run_point(task)


@pytest.mark.slow
def test_a_killed_worker_fails_only_its_point_after_a_second_try(tmp_path: Path) -> None:
    names = [point.name for point in plan(_scenario(), {"seed": [1, 2, 3]}).points]
    file = tmp_path / "victims"
    file.write_text(json.dumps({names[0]: 2, names[1]: 1}))
    result = sweep(_scenario(), {"seed": [1, 2, 3]}, output=tmp_path / "s", executor=_Poisoned(file), threads=1)
    assert [point.state for point in result.points] == ["failed", "done", "done"]
    assert "killed by SIGKILL" in result.failed[0].message
    assert result.ran == (names[2], names[0], names[1])  # the dead ones again, at the end
    assert json.loads((tmp_path / "s" / "failed" / f"{names[0]}.json").read_text())["exit_code"] == 137


def _spawn(path: Path, file: Path) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(_ROOT), "PYTHONUNBUFFERED": "1"}
    grid = "integrator.step_size=" + ",".join(f"{0.4 / n:.6g}" for n in range(40, 56))
    command = [sys.executable, "-m", "rdc_dyn", "sweep", str(file), "-o", str(path), "--jobs", "1", "--grid", grid]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment, start_new_session=True)


def _wait_for(path: Path, count: int, process: subprocess.Popen[str]) -> None:
    limit = time.monotonic() + 60
    while len(list(path.glob(f"runs/*/{TRAJECTORY}"))) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < limit
        time.sleep(0.02)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> xr.Dataset:
    """The trajectory of the one point of `_LONG`."""
    path = tmp_path_factory.mktemp("undisturbed") / "sweep"
    result = sweep(_LONG, _ONE, output=path, threads=1)
    assert [point.state for point in result.points] == ["done"]
    return next(iter(_bits(path).values()))


_LONG = linear_gaussian(integrator={"step_size": 0.04}, output={"checkpoint_every": 5})
_ONE = {"integrator.method": ["rk4"]}


@pytest.mark.parametrize(
    "number", [pytest.param(n, marks=pytest.mark.slow) for n in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)]
)
def test_a_point_that_was_stopped_goes_on(number: signal.Signals, tmp_path: Path, undisturbed: xr.Dataset) -> None:
    """Bit for bit as if it had not been, from its last checkpoint and not from its start."""
    file, path = tmp_path / "s.yaml", tmp_path / "sweep"
    file.write_text(dump(from_mapping(_LONG)))
    command = ["sweep", str(file), "-o", str(path), "--threads", "1", "--grid", "integrator.method=rk4"]
    environment = os.environ | {"PYTHONPATH": str(_ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-m", "rdc_dyn", *command],
        env=environment, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    limit = time.monotonic() + 120
    while not any(int(file.stem) >= 5 for file in path.glob("runs/*/checkpoints/*.safetensors")):
        assert process.poll() is None and time.monotonic() < limit
        time.sleep(0.01)
    os.killpg(process.pid, number) if number == signal.SIGKILL else process.send_signal(number)
    assert process.wait(60) == {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}[number]
    (folder,) = (path / "runs").iterdir()
    assert checkpoints(folder) and read_sweep(path).points[0].state == "missing"
    assert sweep(_LONG, _ONE, output=path, threads=1).points[0].state == "done"
    assert "resumed at time" in str(open_run(folder).attrs["history"])
    assert _bits(path)[folder.name].identical(undisturbed)


@pytest.mark.filterwarnings("ignore::rdc_dyn.RunWarning")
def test_a_point_of_another_scenario_begins_anew(tmp_path: Path, undisturbed: xr.Dataset) -> None:
    """Something else under its name, or a state that cannot be used, is not gone on with."""
    path = tmp_path / "sweep"
    here = InThisProcess()
    (name,) = (point.name for point in plan(_LONG, _ONE).points)
    for damage in ("scenario", "checkpoints"):
        shutil.rmtree(path, ignore_errors=True)
        rdc_dyn.run(loads(plan(_LONG, _ONE).points[0].text), path / "runs" / name, max_time=1e-9)
        if damage == "scenario":
            text = (path / "runs" / name / "scenario.yaml").read_text()
            (path / "runs" / name / "scenario.yaml").write_text(text.replace("seed: 0", "seed: 1"))
        else:
            for file in checkpoints(path / "runs" / name):
                file.write_bytes(b"damaged")
        shutil.move(path / "runs", tmp_path / "runs")
        path.rmdir()
        result = sweep(_LONG, _ONE, output=path, executor=_Before(here, tmp_path / "runs", path / "runs"), threads=1)
        assert result.points[0].state == "done"
        assert "resumed" not in str(open_run(path / "runs" / name).attrs["history"])
        assert _bits(path)[name].identical(undisturbed)


class _Before(Executor):
    """Puts a folder in its place before the first point is run."""

    def __init__(self, inner: Executor, source: Path, place: Path) -> None:
        self.inner, self.source, self.place = inner, source, place

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        shutil.rmtree(self.place, ignore_errors=True)
        shutil.move(self.source, self.place)
        return self.inner.submit(function, *arguments)


@pytest.mark.slow
def test_a_stopped_sweep_loses_no_finished_point(tmp_path: Path) -> None:
    file, path = tmp_path / "s.yaml", tmp_path / "sweep"
    file.write_text(dump(from_mapping(_scenario())))
    before: dict[str, tuple[bytes, int]] = {}
    for number, exit_code in ((signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)):
        process = _spawn(path, file)
        _wait_for(path, len(before) + 2, process)
        os.killpg(process.pid, number) if number != signal.SIGTERM else process.terminate()
        _, errors = process.communicate(timeout=30)
        assert process.returncode == exit_code, errors
        assert "Traceback" not in errors
        now = _content(path)
        assert before.items() <= now.items()
        assert len(now) < 16
        if number != signal.SIGKILL:  # what has no trajectory can go on
            assert all(folder.name in now or checkpoints(folder) for folder in (path / "runs").iterdir())
        before = now
    process = _spawn(path, file)
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert "16 of 16 points done" in out
    assert before.items() <= _content(path).items()
    assert len(_content(path)) == 16
    assert all(open_run(folder).attrs["status"] == "COMPLETED" for folder in (path / "runs").iterdir())


def test_the_command_lists_what_failed(mixed: tuple[Path, SweepResult], tmp_path: Path) -> None:
    path, first = mixed
    file = tmp_path / "s.yaml"
    file.write_text(dump(from_mapping(_scenario() | {"sweep": _MIXED})))
    refused = CliRunner().invoke(main, ["sweep", str(file), "-o", str(path)])
    assert refused.exit_code == 2 and "start.from: leaves the folder of the scenario" in refused.output
    file.write_text(dump(from_mapping(_scenario() | {"sweep": [*_MIXED[:2], {"start.from": ["nowhere"]}]})))
    result = CliRunner().invoke(main, ["sweep", str(file), "-o", str(path), "--add"])
    assert result.exit_code == 6, result.output
    assert f"failed: {first.failed[0].name}" in result.output
    assert "not at equilibrium: the start is not an equilibrium" in result.output
    assert "2 failed (--retry-failed runs them again)" in result.output


# --- a cluster ------------------------------------------------------------------------------------------------------


@pytest.fixture
def scheduler() -> Iterator[str]:
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=2, processes=True, dashboard_address=None, silence_logs=50
    ) as local:
        yield local.scheduler_address


@pytest.mark.slow
def test_a_cluster_gives_the_same_bits(tmp_path: Path, scheduler: str) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(dump(from_mapping(_scenario())))
    arguments = ["sweep", str(file), "--grid", "integrator.step_size=0.2,0.1,0.05", "--threads", "1"]
    for folder, where in (("local", ["--jobs", "2"]), ("dask", ["--dask", scheduler])):
        result = CliRunner().invoke(main, [*arguments, "-o", str(tmp_path / folder), *where])
        assert result.exit_code == 0, result.output
    local, dask = _bits(tmp_path / "local"), _bits(tmp_path / "dask")
    assert local.keys() == dask.keys()
    for name, run in local.items():
        assert run.identical(dask[name])


def test_no_scheduler_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    import dask

    monkeypatch.setattr("rdc_dyn.sweeps.workers._PATIENCE", "1 s")
    file = tmp_path / "s.yaml"
    file.write_text(dump(from_mapping(_scenario())))
    arguments = ["sweep", str(file), "--grid", "seed=1", "-o", str(tmp_path / "s"), "--dask"]
    for address, code in (("tcp://127.0.0.1:1", 4), ("nonsense://x", 2)):
        result = CliRunner().invoke(main, [*arguments, address])
        assert result.exit_code == code
        assert len(result.output.strip().splitlines()) == 1, result.output
        assert dask.config.get("scheduler", None) is None  # else the next file that xarray opens asks this cluster


def test_no_dask_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    file = tmp_path / "s.yaml"
    file.write_text(dump(from_mapping(_scenario())))
    result = CliRunner().invoke(main, ["sweep", str(file), "--grid", "seed=1", "-o", "x", "--dask", "tcp://h:1"])
    assert result.exit_code == 2
    assert "pip install 'rdc-dyn[dask]'" in result.output

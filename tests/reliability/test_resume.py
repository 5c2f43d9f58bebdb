"""Going on: after limits, after signals, at other places, and what is refused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import pytest
import xarray as xr
from click.testing import CliRunner, Result

import rdc_dyn
from rdc_dyn.cli import main
from rdc_dyn.cli.shared import conclude
from rdc_dyn.read.verify import Finding, verify
from rdc_dyn.record import Record
from rdc_dyn.running.progress import Silent
from rdc_dyn.scenario import dump, from_mapping
from rdc_dyn.store.checkpoint import load_checkpoint
from tests.reliability.made import SCENARIOS, TREE, same_bits
from tests.tiny import images, linear_gaussian

ROOT = Path(rdc_dyn.__file__).parents[1]


def _quiet(call: Any, *arguments: Any, **options: Any) -> xr.Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call(*arguments, **options)


def _stopped_at_every_point(tree: dict[str, Any], run: Path, times: int = 10_000) -> xr.Dataset:
    trajectory = _quiet(rdc_dyn.run, tree, run, max_time=1e-9)
    for _ in range(times):
        if trajectory.attrs["status"] != "TIME_LIMIT":
            break
        trajectory = _quiet(rdc_dyn.resume, run, max_time=1e-9)
    return trajectory


_FOLLOWED = linear_gaussian(process={"path": {"lam": 0.1, "gamma": 0.1}, "span": [0.0, 1.0]}, output={"every": 2})


def _means(corrector: dict[str, Any]) -> dict[str, Any]:
    """Means of epochs of minibatches with fresh noise, C held."""
    networks = {
        "encoder": {"kind": "mlp", "hidden": [4], "latent_dim": 2},
        "decoder": {"kind": "mlp", "hidden": [4], "likelihood": "gaussian", "variance": 0.1},
    }
    start = {
        "lam": 0.5,
        "gamma": 2.0,
        "equilibrate": {"adam_steps": 500, "learning_rate": 1e-2, "newton_steps": 0, "tolerance": 100.0},
    }
    return images(output={"checkpoint_every": 2}, integrator={"step_size": 0.05}) | {
        "objective": {"kind": "amortised", **networks, "noise": "fresh", "samples": 2},
        "start": start,
        "process": {"kind": "iso_classification", "clock": "lam", "span": [0.5, 0.6]},
        "response": {"kind": "secant_filter"},
        "corrector": {"batch": 16, "updates": 8, "learning_rate": 3e-3, **corrector},
    }


KINDS: dict[str, dict[str, Any]] = {
    **SCENARIOS,
    "warned, finite alphabet": images(integrator={"step_size": 0.05}, output={"checkpoint_every": 2}),
    "quasi-Newton": linear_gaussian(
        response={"solver": {"method": "cg", "rtol": 1e-4}}, corrector={"method": "quasi_newton"}
    )
    | {"process": {"kind": "iso_classification", "span": [0.0, 0.4]}},
    "factor in float32": linear_gaussian(response={"solver": {"method": "cg", "single": True}}),
    "minres": linear_gaussian(response={"solver": {"method": "minres", "preconditioner": "nystrom", "rank": 4}}),
    "relax": linear_gaussian(**{**_FOLLOWED, "process": {**_FOLLOWED["process"], "on_fold": "relax"}}),
    "stop": _FOLLOWED,
    "follow": linear_gaussian(
        process={"path": {"lam": 0.1, "gamma": 0.1}, "span": [0.0, 1.0], "on_fold": "follow"}, output={"every": 2}
    ),
    "secant": linear_gaussian(response={"kind": "secant", "solver": {"method": "cg"}}),
    "secant, guessed": linear_gaussian(
        **{"process": {"kind": "prescribed"}},
        corrector={"method": "gradient", "steps": 30},
        response={"kind": "secant", "start": "guess"},
    ),
    "finite differences": linear_gaussian(response={"kind": "finite_difference"}),
    "no response": images(
        response={"kind": "none"},
        corrector={"method": "gradient", "steps": 10, "trace": 4, "schedule": "constant"},
        process={"shape": "jump"},
        integrator={"step_size": 0.05},
    ),
    "adam": images(corrector={"method": "gradient", "steps": 20, "batch": 16}, integrator={"step_size": 0.05}),
    "variance reduced": images(
        corrector={"method": "variance_reduced", "batch": 12, "steps": 4, "epochs": 60, "tolerance": 1e-4},
        integrator={"step_size": 0.05},
    ),
    "primal dual": _means({"method": "primal_dual", "tolerance": 0.05, "dissipation": 1.0, "updates": 60}),
    "geco": _means({"method": "geco"}),
    "epoch mean": {**_means({}), "corrector": {"method": "epoch_mean", "batch": 16}},
    "one method per segment": linear_gaussian(integrator={"method": "dopri8", "rtol": 1e-7}),
    "float32": linear_gaussian(dtype="float32", response={"solver": {"method": "cg"}}),
}


#: Kinds whose parts the others have too, and long ones.
_SLOW = {
    "warned, finite alphabet", "minres", "stop", "secant, guessed", "no response", "adam", "geco", "transfer", "dopri5",
    "rk4", "relax", "follow", "factor in float32", "variance reduced", "secant", "one method per segment", "float32",
}  # fmt: skip


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.slow if kind in _SLOW else []) for kind in KINDS]
)
def test_stopped_at_every_point_gives_the_same_bits(tmp_path: Path, kind: str) -> None:
    whole = _quiet(rdc_dyn.run, KINDS[kind])
    again = _stopped_at_every_point(KINDS[kind], tmp_path / "run")
    assert whole.sizes["time"] > 1
    assert same_bits(again, whole)


@pytest.mark.parametrize(
    "kind", ["transfer", "rk4", "relax", "follow", "factor in float32", "variance reduced", "secant"]
)
def test_stopped_once_gives_the_same_bits(tmp_path: Path, kind: str) -> None:
    whole = _quiet(rdc_dyn.run, KINDS[kind], tmp_path / "run", max_time=1e-9)
    assert whole.attrs["status"] == "TIME_LIMIT"
    assert same_bits(_quiet(rdc_dyn.resume, tmp_path / "run"), _quiet(rdc_dyn.run, KINDS[kind]))


def test_a_complete_run_stays_as_it_is(tmp_path: Path) -> None:
    run = rdc_dyn.run(TREE, tmp_path / "run")
    before = {file: file.read_bytes() for file in (tmp_path / "run").rglob("*") if file.is_file()}
    assert rdc_dyn.resume(tmp_path / "run").identical(run)
    assert before == {file: file.read_bytes() for file in (tmp_path / "run").rglob("*") if file.is_file()}
    result = CliRunner().invoke(main, ["resume", str(tmp_path / "run")])
    assert result.exit_code == 0 and "nothing is left to do" in result.output


def test_a_numerical_stop_is_not_resumed(tmp_path: Path) -> None:
    assert _quiet(rdc_dyn.run, KINDS["stop"], tmp_path / "run").attrs["status"] == "BRANCH_POINT"
    with pytest.raises(rdc_dyn.UserError, match="the run ended, a branch point"):
        rdc_dyn.resume(tmp_path / "run")


def test_a_changed_scenario_is_refused_unless_forced_and_then_recorded(tmp_path: Path) -> None:
    _quiet(rdc_dyn.run, TREE, tmp_path / "run", max_time=1e-9)
    file = tmp_path / "run" / "scenario.yaml"
    file.write_text("# a comment changes nothing\n" + file.read_text())
    _quiet(rdc_dyn.resume, tmp_path / "run", max_time=1e-9)
    file.write_text(file.read_text().replace("step_size: 0.1", "step_size: 0.2"))
    with pytest.raises(rdc_dyn.UserError, match=r"the scenario has changed \(integrator.step_size: 0.1 -> 0.2\)"):
        rdc_dyn.resume(tmp_path / "run")
    forced = rdc_dyn.resume(tmp_path / "run", force=True)
    assert forced.attrs["status"] == "COMPLETED"
    assert "integrator.step_size: 0.1 -> 0.2) (forced)" in forced.attrs["history"]
    assert "only to tolerance" in forced.attrs["history"].splitlines()[-1]
    assert "step_size: 0.2" in forced.attrs["scenario"]


def test_another_version_is_refused_unless_forced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _quiet(rdc_dyn.run, TREE, tmp_path / "run", max_time=1e-9)
    monkeypatch.setattr("rdc_dyn.store.provenance.commit", lambda: "another")
    with pytest.raises(rdc_dyn.UserError, match=r"commit was .* -> another"):
        rdc_dyn.resume(tmp_path / "run")
    assert "-> another (forced)" in rdc_dyn.resume(tmp_path / "run", force=True).attrs["history"]


def test_sources_that_have_changed_are_another_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit says nothing of what has not been committed."""
    _quiet(rdc_dyn.run, TREE, tmp_path / "run", max_time=1e-9)
    monkeypatch.setattr("rdc_dyn.store.provenance.source_digest", lambda: "another")
    with pytest.raises(rdc_dyn.UserError, match="source_digest was"):
        rdc_dyn.resume(tmp_path / "run")


def test_the_digest_of_the_sources_is_of_every_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rdc_dyn.store import provenance

    found = set()
    for text in ("x = 1", "x = 2"):
        (tmp_path / "inner").mkdir(exist_ok=True)
        (tmp_path / "inner" / "a.py").write_text(text)
        for name in ("b.py", "c.py"):
            (tmp_path / "b.py").unlink(missing_ok=True)
            (tmp_path / name).write_text("")
            monkeypatch.setattr(provenance, "_PACKAGE", tmp_path)
            found.add(provenance.source_digest.__wrapped__())
        (tmp_path / "c.py").unlink()
    assert len(found) == 4


def test_the_commit_is_that_of_this_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rdc_dyn.store.provenance import commit

    ours = commit()
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path))
    assert commit() == ours


def test_elsewhere_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _quiet(rdc_dyn.run, TREE, tmp_path / "run", max_time=1e-9)
    monkeypatch.setattr("rdc_dyn.store.provenance.processor", lambda: "another processor")
    last = rdc_dyn.resume(tmp_path / "run").attrs["history"].splitlines()[-1]
    assert "only to tolerance" in last and "another processor" in last


def test_changed_data_are_refused(tmp_path: Path) -> None:
    import numpy as np

    rng = np.random.default_rng(0)
    arrays = {"x": rng.random((30, 6)), "y": np.arange(30) % 3}
    np.savez(tmp_path / "data.npz", x=arrays["x"], y=arrays["y"])
    tree = images()
    tree["data"] = {"source": {"name": "npz", "file": str(tmp_path / "data.npz")}}
    _quiet(rdc_dyn.run, tree, tmp_path / "run", max_time=1e-9)
    np.savez(tmp_path / "data.npz", x=arrays["x"] + 0.1, y=arrays["y"])
    with pytest.raises(rdc_dyn.UserError, match="data_digest was"):
        rdc_dyn.resume(tmp_path / "run")


def test_verify_says_that_a_run_goes_on(tmp_path: Path) -> None:
    found = list[Finding]()

    class Verifying(Silent):
        def record(self, record: Record, fraction: float) -> None:
            found.extend(verify(tmp_path / "run"))

    _quiet(rdc_dyn.run, TREE, tmp_path / "run", progress=Verifying())
    assert {finding.verdict for finding in found} == {"ok", "open"}
    assert [f.detail for f in found if f.name == "run"] == 5 * ["it goes on; what it has committed is checked"]
    assert "run" not in [finding.name for finding in verify(tmp_path / "run")]


def test_an_interrupted_start_says_that_nothing_was_computed(tmp_path: Path) -> None:
    class Interrupting(Silent):
        def equilibrating(self, *anything: object) -> None:
            raise KeyboardInterrupt

    trajectory = _quiet(rdc_dyn.run, TREE, tmp_path / "run", progress=Interrupting())
    with pytest.raises(SystemExit), CliRunner().isolation() as (_, errors, _):
        conclude(trajectory, tmp_path / "run")
    assert b"begins again, for nothing was computed yet" in errors.getvalue()
    assert same_bits(_quiet(rdc_dyn.resume, tmp_path / "run"), _quiet(rdc_dyn.run, TREE))


def test_a_start_that_is_being_trained_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    """Interrupted in the second thousand of its steps, stopped by its limit after these, then left to go on."""

    class Interrupting(Silent):
        def equilibrating(self, phase: str, step: int, *values: float) -> None:
            if step == 1500:
                raise KeyboardInterrupt

    tree, run = _means({"method": "primal_dual", "tolerance": 0.1, "dissipation": 1.0}), tmp_path / "run"
    tree["start"]["equilibrate"] |= {"adam_steps": 2300, "batch": 16}
    trajectory = _quiet(rdc_dyn.run, tree, run, progress=Interrupting())
    assert trajectory.sizes["time"] == 0 and trajectory.attrs["status"] == "INTERRUPTED"
    assert [file.name for file in (run / "checkpoints").iterdir()] == ["000000.safetensors"]
    with pytest.raises(SystemExit), CliRunner().isolation() as (_, errors, _):
        conclude(trajectory, run)
    assert b"goes on from here" in errors.getvalue()
    assert {finding.verdict for finding in verify(run)} == {"ok"}
    with pytest.raises(rdc_dyn.DataError, match="its start was being trained; go on with rdc-dyn resume"):
        rdc_dyn.load_networks(run)
    again = tree | {"start": {"from": str(run), "equilibrate": tree["start"]["equilibrate"]}}
    with pytest.raises(rdc_dyn.DataError, match="its start was being trained"):
        rdc_dyn.run(again)
    stopped = _quiet(rdc_dyn.resume, run, max_time=1e-9)
    assert stopped.attrs["status"] == "TIME_LIMIT" and stopped.sizes["time"] == 0
    assert "resumed at step 1000 of the start" in stopped.attrs["history"]
    found = _quiet(rdc_dyn.resume, run)
    assert "resumed at step 2000 of the start" in found.attrs["history"] and "the same bits" in found.attrs["history"]
    assert found.sizes["time"] > 1 and same_bits(found, _quiet(rdc_dyn.run, tree))


def test_a_start_that_is_being_trained_is_kept_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that little is lost to a kill, after which nothing is written."""
    steps = list[int]()

    class Looking(Silent):
        def equilibrating(self, phase: str, step: int, *values: float) -> None:
            for file in (tmp_path / "run" / "checkpoints").iterdir():
                steps.append(load_checkpoint(file).values["training"])

    monkeypatch.setattr("rdc_dyn.running.recorder._SELDOM", 0.0)
    tree = TREE | {"start": TREE["start"] | {"equilibrate": {"adam_steps": 2100, "learning_rate": 0.1}}}
    _quiet(rdc_dyn.run, tree, tmp_path / "run", progress=Looking())
    assert sorted({*steps}) == [1000, 2000]


def test_nothing_to_resume(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(rdc_dyn.DataError, match="no run to resume"):
            rdc_dyn.resume(path)
    assert not list(tmp_path.iterdir())


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


def test_max_time_then_resume_on_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "tiny.yaml"
    file.write_text(dump(from_mapping(TREE)))
    result = invoke("run", file, "-o", tmp_path / "run", "--max-time", "0.000001s")
    assert result.exit_code == 5 and f"rdc-dyn resume {tmp_path / 'run'}" in result.output
    result = invoke("resume", tmp_path / "run")
    assert result.exit_code == 0, result.output
    assert same_bits(rdc_dyn.open_run(tmp_path / "run"), rdc_dyn.run(TREE))


def _spawn(*arguments: object) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "rdc_dyn", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def _wait_for(process: subprocess.Popen[str], log: Path, points: int) -> None:
    deadline = time.monotonic() + 120
    while not (log.exists() and log.read_text().count('"record"') >= points):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.slow
def test_signals_checkpoint_and_the_run_goes_on(scratch: Path) -> None:
    tree = linear_gaussian(integrator={"step_size": 0.01}, output={"checkpoint_every": 7})
    file, run = scratch / "tiny.yaml", scratch / "run"
    file.write_text(dump(from_mapping(tree)))
    commands: list[tuple[object, ...]] = [("run", file, "-o", run, "-q"), ("resume", run, "-q")]
    for number, (command, code, points) in enumerate(zip(commands, (130, 143), (5, 40))):
        process = _spawn(*command)
        _wait_for(process, run / "log.jsonl", points)
        process.send_signal((signal.SIGINT, signal.SIGTERM)[number])
        _, errors = process.communicate(timeout=60)
        assert process.returncode == code, errors
        assert "Traceback" not in errors and f"rdc-dyn resume {run}" in errors
        assert rdc_dyn.open_run(run).attrs["status"] == "INTERRUPTED"
    assert invoke("resume", run, "-q").exit_code == 0
    assert same_bits(rdc_dyn.open_run(run), rdc_dyn.run(tree))


def test_a_second_interrupt_ends_at_once(scratch: Path) -> None:
    """The first one finds a step that takes a minute, and writing a checkpoint that takes another."""
    code = (
        "import time, sys\n"
        "import rdc_dyn.running.recorder as recorder\n"
        "def slow(*anything, **options):\n    print('writing', flush=True)\n    time.sleep(60)\n"
        "recorder.Recorder._checkpoint = slow\n"
        "from rdc_dyn.cli import main\nmain(sys.argv[1:])\n"
    )
    file, run = scratch / "tiny.yaml", scratch / "run"
    file.write_text(dump(from_mapping(TREE)))
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", code, "run", str(file), "-o", str(run), "-q"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "writing\n"  # the checkpoint of the end
    time.sleep(0.3)  # nearer ones are one
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert time.monotonic() - began < 10
    assert rdc_dyn.resume(run).attrs["status"] == "COMPLETED"

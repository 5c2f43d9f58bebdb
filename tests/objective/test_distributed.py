"""Two processes give what one gives: J and its derivatives, whole runs, mistakes, and ends by a signal.

The file is also the program that the processes run: `python -m tests.objective.test_distributed FOLDER`.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
import xarray as xr
from click.testing import CliRunner
from torch import Tensor, nn

import rdc_dyn
from rdc_dyn.cli import main
from rdc_dyn.curvature.graph import First
from rdc_dyn.curvature.sum_over_data import Local, LocalSecond, Total
from rdc_dyn.data.coupling import optimal_coupling
from rdc_dyn.data.samples import Block, Data
from rdc_dyn.distributed.evaluated import Distributed
from rdc_dyn.distributed.group import Group, join
from rdc_dyn.dynamics import SurfacePoint
from rdc_dyn.objective.base import OverData, terms_of
from rdc_dyn.scenario import dump, from_mapping
from tests.problems import amortised, blobs, controls, finite_latent, generator
from tests.tiny import images, linear_gaussian

ROOT = Path(rdc_dyn.__file__).parents[1]
LIMIT = 240  # seconds after which a hang is a failure


def network(curvature_data: int = 30) -> dict[str, Any]:
    """Two steps of a small VAE, from graphs that are built anew and A of some of the data."""
    tree = images(linearisation={"graph": "recomputed", "memory": 6e-4, "curvature_data": curvature_data})
    tree["objective"] = {
        "kind": "amortised",
        "encoder": {"kind": "mlp", "hidden": [2], "latent_dim": 2},
        "decoder": {"kind": "mlp", "hidden": [2], "likelihood": "bernoulli"},
        "samples": 2,
        "weight_prior_precision": 0.1,
    }
    return tree


def own_networks() -> dict[str, Any]:
    """A few Adam steps of networks that are passed."""
    equilibrate = {"adam_steps": 5, "newton_steps": 0, "tolerance": 1e3}
    tree = images(
        response={"kind": "none"}, corrector={"method": "gradient", "steps": 2}, start={"equilibrate": equilibrate}
    )
    tree["objective"] = {
        "kind": "amortised",
        "encoder": {"kind": "module", "latent_dim": 2},
        "decoder": {"kind": "module", "likelihood": "gaussian"},
        "samples": 2,
        "weight_prior_precision": 0.1,
    }
    return tree


# --- what the processes run ---------------------------------------------------------------------------------------


class Counting(Local):
    """J that remembers the most of its linearisations that have lived at a time."""

    most = 0

    def linearise(self, theta: Tensor, controls: Tensor) -> LocalSecond:
        second = super().linearise(theta, controls)
        ALIVE.add(second)
        Counting.most = max(Counting.most, len(ALIVE))
        return second


ALIVE = weakref.WeakSet[LocalSecond]()


def moving(coupled: bool) -> Data:
    source, target = blobs(21, seed=1).source, blobs(14, seed=2).source
    return Data(source, target, None, 3, optimal_coupling(source.x, target.x) if coupled else None)


OBJECTIVES: dict[str, OverData] = {
    "source": amortised(blobs(31)),
    "mixture": finite_latent(moving(False), 3, 1e-2),
    "pairs": amortised(moving(True)),
}


def local(objective: OverData, blocks: tuple[Block, ...], kept: bool, kind: type[Local] = Local) -> Local:
    if kept:
        return kind(terms_of(objective, blocks))
    return kind(terms_of(objective, tuple(piece for block in blocks for piece in block.split(4))), False, 2)


def all_numbers(total: Total, theta: Tensor, at: Tensor) -> dict[str, Tensor]:
    """J with all its derivatives, and those through three linearisations of which one lives at a time."""

    def first(name: str, found: First) -> dict[str, Tensor]:
        return {f"{name} value": found.value, f"{name} gradient": found.gradient, f"{name} forces": found.forces}

    g = generator(1)
    rows, velocity = (torch.randn(n, len(theta), generator=g, dtype=torch.float64) for n in (5, 1))
    numbers = {"value": total.value(theta, at)} | first("gradient", total.gradient(theta, at))
    for shift in torch.linspace(0, 0.01, 3).tolist():
        second = total.linearise(theta + shift, at)
        drift = second.drift(velocity[0], controls(0.3, -0.2, 0.1))
    numbers |= first("linearised", second.first)
    mixed, control_hessian = second.mixed()
    if (matrix := second.dense()) is not None:
        numbers["dense"] = matrix
    numbers |= {"mm": second.mm(rows), "one": second.mm(rows[:1]), "mixed": mixed, "hessian": control_hessian}
    del second  # the drift must do without
    return numbers | {"drift": drift(rows)}


def compare(group: Group, objective: OverData, kept: bool) -> dict[str, float]:
    """Relative differences between one and several processes, and the most linearisations alive here."""
    theta, at, found = objective.initial(generator()), controls(0.7, 1.3, 0.4), dict[str, float]()
    Counting.most = 0
    for number, whole in enumerate((objective.data.blocks(), objective.data.minibatch(9, generator()))):
        share = tuple(block.piece(group.rank, group.world) for block in whole)
        total = Distributed(group, local(objective, share, kept, Counting))
        expected = all_numbers(local(objective, whole, kept), theta, at)
        for name, value in all_numbers(total, theta, at).items():
            scale = float(expected[name].abs().max())
            found[f"{number} {name}"] = float((value - expected[name]).abs().max()) / (scale or 1.0)
    return found | {"most": Counting.most}


def gloo_threads() -> int | None:
    """How many threads of gloo this process has, where the system tells."""
    tasks = Path("/proc/self/task")
    return sum("gloo" in (task / "comm").read_text() for task in tasks.iterdir()) if tasks.is_dir() else None


class Apart(rdc_dyn.Process):
    """Multipliers that move a little faster on every further process."""

    span = (0.0, 0.2)

    def rates(self, s: float, here: SurfacePoint) -> Tensor:
        return torch.tensor([0.25 * (1 + 1e-12 * dist.get_rank()), 0.5, 0.0], dtype=torch.float64)


def networks() -> dict[str, nn.Module]:
    """Modules of one's own, initialised differently on each process."""
    torch.manual_seed(dist.get_rank())
    return {"encoder": nn.Linear(64, 4).double(), "decoder": nn.Linear(2, 64).double()}


def end(act: Callable[[], xr.Dataset]) -> str:
    """The status with its detail, or the error, with which something ends here."""
    try:
        trajectory = act()
    except (Exception, SystemExit) as error:
        return f"{type(error).__name__}: {error}"
    return f"{trajectory.attrs['status']}: {trajectory.attrs['status_detail']}"


def end_of_failure(error: Exception, *ranks: int) -> str:
    """How a run ends whose fourth linearisation fails on some of the processes."""
    left, linearise = iter(range(3)), Local.linearise

    def fails(self: Local, *arguments: Any) -> LocalSecond:
        if next(left, None) is None and dist.get_rank() in ranks:
            raise error
        return linearise(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Local, "linearise", fails)
        return end(lambda: rdc_dyn.run(images()))


def on_each_process(folder: Path) -> None:
    torch.set_num_threads(1)
    group = join()
    assert group is not None
    report: dict[str, Any] = {"differences": {}}
    for name, objective in OBJECTIVES.items():
        for kept in (True, False):
            report["differences"][f"{name} {'kept' if kept else 'recomputed'}"] = compare(group, objective, kept)
    taken = CliRunner().invoke(main, ["run", str(folder / "tiny.yaml"), "-o", str(folder / "taken")])
    report["taken"] = (taken.exit_code, taken.output)
    report["ends"] = {
        "linear_gaussian": end(lambda: rdc_dyn.run(linear_gaussian())),
        "few": end(lambda: rdc_dyn.run(network(curvature_data=1))),
        "device": end(lambda: rdc_dyn.run(images(device="cuda:0"))),
        "memory on 1": end_of_failure(MemoryError("full"), 1),
        "failure on 1": end_of_failure(ZeroDivisionError("mine"), 1),
        "failure on both": end_of_failure(ZeroDivisionError("ours"), 0, 1),
        "apart": end(lambda: rdc_dyn.run(images(), process=Apart())),
        "own networks": end(lambda: rdc_dyn.run(own_networks(), networks=networks())),
        "limited": end(lambda: rdc_dyn.run(images(), folder / "by two", max_time=1e-9)),
        "resumed": end(lambda: rdc_dyn.resume(folder / "by one")),
    }
    rdc_dyn.run(network()).to_netcdf(folder / f"{group.rank}.nc")
    report["threads"] = gloo_threads()
    atexit._run_exitfuncs()
    report["threads at the end"] = gloo_threads()
    (folder / f"{group.rank}.json").write_text(json.dumps(report))


# --- starting them ------------------------------------------------------------------------------------------------


@contextmanager
def two(*arguments: str) -> Iterator[list[subprocess.Popen[str]]]:
    """Two processes with torchrun's environment, without the seconds that torchrun itself needs."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    common |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", *arguments],
            env=os.environ | common | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        for rank in range(2)
    ]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait()


def write(folder: Path, tree: dict[str, Any]) -> str:
    (folder / "tiny.yaml").write_text(dump(from_mapping(tree)))
    return str(folder / "tiny.yaml")


def torchrun(folder: Path, tree: dict[str, Any], *options: str) -> tuple[xr.Dataset, str]:
    """What a run of two processes leaves, and what they print."""
    file, run = write(folder, tree), folder / "run"
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*launcher, "-m", "rdc_dyn", "run", file, "-o", str(run), *options],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert done.returncode == 0, done.stderr
    return rdc_dyn.open_run(run), done.stdout


def assert_same(found: xr.Dataset, expected: xr.Dataset, backend: str = "gloo") -> None:
    """To 1e-10 in every variable but the time that it took, and products: rounding may add one to a search."""
    assert set(found.variables) == set(expected.variables)
    for name in set(expected.variables) - {"wall_time"}:
        if expected[name].dtype.kind == "f":
            rtol = 1e-2 if name == "hessian_vector_products" else 1e-10
            np.testing.assert_allclose(found[name], expected[name], rtol=rtol, atol=1e-10, err_msg=str(name))
        else:
            assert found[name].equals(expected[name]), name
    assert (found.attrs["processes"], found.attrs["backend"]) == (2, backend)
    assert expected.attrs["processes"] == 1 and "backend" not in expected.attrs


# --- tests --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where both processes have left their reports."""
    where = tmp_path_factory.mktemp("two")
    (where / "taken").mkdir()
    (where / "taken" / "precious").write_text("mine")
    write(where, images())
    with pytest.warns(rdc_dyn.RunWarning, match="TIME_LIMIT"):
        rdc_dyn.run(images(), where / "by one", max_time=1e-9)
    with two("tests.objective.test_distributed", str(where)) as processes:
        for process in processes:
            _, errors = process.communicate(timeout=LIMIT)
            assert process.returncode == 0, errors
    return where


@pytest.fixture(scope="module")
def expected() -> xr.Dataset:
    """The trajectory of one process."""
    return rdc_dyn.run(images())


def reports(folder: Path) -> list[dict[str, Any]]:
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


def test_j_and_its_derivatives_are_those_of_one_process(folder: Path) -> None:
    leader, other = (report["differences"] for report in reports(folder))
    assert leader == other
    assert len(leader) == 6
    for case, differences in leader.items():
        worst = max((value, name) for name, value in differences.items() if name != "most")
        assert worst[0] < 1e-13, (case, worst)


def test_what_is_no_longer_used_is_forgotten(folder: Path) -> None:
    """Three linearisations are made; the old one is in use until the new one is there."""
    assert all(case["most"] == 2 for case in reports(folder)[0]["differences"].values())


@pytest.mark.parametrize(
    ("case", "ends"),
    [
        ("linear_gaussian", ["UserError: objective: linear_gaussian has no data"] * 2),
        ("few", ["UserError: fewer data than processes"] * 2),
        ("device", ["UserError: device: cuda:0 is one GPU"] * 2),
        ("memory on 1", ["OUT_OF_MEMORY: "] * 2),
        ("failure on 1", ["UserError: process 1 of this run has failed", "ZeroDivisionError: mine"]),
        ("failure on both", ["ZeroDivisionError: ours", "SystemExit: 1"]),
        ("apart", ["DIVERGED: "] * 2),
        ("own networks", ["COMPLETED: "] * 2),
        ("limited", ["TIME_LIMIT: "] * 2),
        ("resumed", ["COMPLETED: "] * 2),
    ],
)
def test_all_end_alike(folder: Path, case: str, ends: list[str]) -> None:
    for report, expected in zip(reports(folder), ends):
        assert report["ends"][case].startswith(expected)


def test_a_run_goes_on_with_another_number_of_processes(folder: Path, expected: xr.Dataset) -> None:
    for name, was, now in (("by one", 1, 2), ("by two", 2, 1)):
        found = rdc_dyn.resume(folder / name)
        assert f"processes {was} -> {now}" in found.attrs["history"]
        np.testing.assert_allclose(found.rate, expected.rate, rtol=1e-10)


def test_an_existing_run_is_left_alone_with_one_message(folder: Path) -> None:
    leader, other = (report["taken"] for report in reports(folder))
    assert leader[0] == other[0] == 2
    assert "not empty" in leader[1] and len(leader[1].splitlines()) == 1
    assert other[1] == ""
    assert [path.name for path in (folder / "taken").iterdir()] == ["precious"]


def test_every_process_returns_the_trajectory_of_one(folder: Path) -> None:
    expected = rdc_dyn.run(network())
    assert expected.attrs["status"] == "COMPLETED"
    for rank in range(2):
        with xr.open_dataset(folder / f"{rank}.nc") as found:
            assert_same(found, expected)


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="the system does not list a process's threads")
def test_no_thread_of_gloo_outlives_the_group(folder: Path) -> None:
    """One that lets go of a tensor while the interpreter ends can abort the process."""
    for report in reports(folder):
        assert report["threads"] >= 2
        assert report["threads at the end"] == 0


@pytest.mark.slow
def test_torchrun_gives_the_trajectory_of_one_process(tmp_path: Path, expected: xr.Dataset) -> None:
    found, printed = torchrun(tmp_path, images())
    assert printed.count("completed: ") == 1
    assert printed.count("|grad J|     ETA") == 1
    assert_same(found, expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU on this machine")
@pytest.mark.parametrize("tree", [images, network])
def test_torchrun_on_gpus_gives_the_trajectory_of_one_process(tree: Callable[[], Any], tmp_path: Path) -> None:
    """By nccl where there are two GPUs; two processes share one GPU by gloo."""
    backend = "nccl" if torch.cuda.device_count() >= 2 else "gloo"
    found, _ = torchrun(tmp_path, tree(), "--device", "cuda")
    assert_same(found, rdc_dyn.run(tree(), device="cuda"), backend)


@pytest.mark.parametrize(
    ("number", "to", "codes"),
    [
        (signal.SIGTERM, [1, 0], [143, 143]),
        pytest.param(signal.SIGTERM, [0], [143, 143], marks=pytest.mark.slow),
        pytest.param(signal.SIGKILL, [0], [-9, 4], marks=pytest.mark.slow),
        pytest.param(signal.SIGKILL, [1], [4, -9], marks=pytest.mark.slow),
    ],
)
def test_all_end_together(number: signal.Signals, to: list[int], codes: list[int], tmp_path: Path) -> None:
    """torchrun hands a signal on to every process; a death nobody announces."""
    run = tmp_path / "run"
    file = write(tmp_path, images(integrator={"step_size": 0.0002}))
    with two("rdc_dyn", "run", file, "-o", str(run), "-q") as processes:
        deadline = time.monotonic() + LIMIT
        while not ((run / "log.jsonl").exists() and (run / "log.jsonl").read_text().count('"record"') >= 3):
            assert time.monotonic() < deadline
            assert processes[0].poll() is None, processes[0].communicate()
            time.sleep(0.05)
        for rank in to:
            processes[rank].send_signal(number)
        errors = [process.communicate(timeout=60)[1] for process in processes]
        assert [process.returncode for process in processes] == codes, errors
    assert "Traceback" not in "".join(errors)
    assert "rdc-dyn" not in errors[1]
    ds = rdc_dyn.open_run(run)
    assert ds.attrs["status"] == ("RUNNING" if number == signal.SIGKILL else "INTERRUPTED")
    assert ds.sizes["time"] >= 3
    assert list((run / "checkpoints").iterdir())


if __name__ == "__main__":
    on_each_process(Path(sys.argv[1]))

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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from click.testing import CliRunner
from torch import Tensor

import rdc_dyn
from rdc_dyn.cli import main
from rdc_dyn.curvature.graph import First
from rdc_dyn.curvature.sum_over_data import Local, Total
from rdc_dyn.data.coupling import optimal_coupling
from rdc_dyn.data.samples import Block, Data
from rdc_dyn.distributed.group import Group, join
from rdc_dyn.distributed.local_share import Order, Share
from rdc_dyn.distributed.sum_over_processes import Distributed
from rdc_dyn.distributed.team import Team
from rdc_dyn.objective.base import OverData, terms_of
from rdc_dyn.scenario import dump, from_mapping
from rdc_dyn.status import UserError
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


# --- what the processes run ---------------------------------------------------------------------------------------


class Counting(Share):
    """A share that remembers the most things it has kept at a time."""

    most = 0

    def answer(self, order: Order, payload: Tensor) -> Tensor:
        result = super().answer(order, payload)
        self.most = max(self.most, len(self.products))
        return result


def moving(coupled: bool) -> Data:
    source, target = blobs(21, seed=1).source, blobs(14, seed=2).source
    return Data(source, target, None, 3, optimal_coupling(source.x, target.x) if coupled else None)


OBJECTIVES: dict[str, OverData] = {
    "source": amortised(blobs(31)),
    "mixture": finite_latent(moving(False), 3, 1e-2),
    "pairs": amortised(moving(True)),
}


def local(objective: OverData, blocks: tuple[Block, ...], kept: bool) -> Local:
    if kept:
        return Local(terms_of(objective, blocks))
    return Local(terms_of(objective, tuple(piece for block in blocks for piece in block.split(4))), False, 2)


def all_numbers(total: Total, theta: Tensor, at: Tensor) -> dict[str, Tensor]:
    """J with all its derivatives, and those through eight linearisations of which one lives at a time."""

    def first(name: str, found: First) -> dict[str, Tensor]:
        return {f"{name} value": found.value, f"{name} gradient": found.gradient, f"{name} forces": found.forces}

    g = generator(1)
    rows, velocity = (torch.randn(n, len(theta), generator=g, dtype=torch.float64) for n in (5, 1))
    numbers = {"value": total.value(theta, at)} | first("gradient", total.gradient(theta, at))
    for shift in torch.linspace(0, 0.01, 8).tolist():
        second = total.linearise(theta + shift, at)
        drift = second.drift(velocity[0], controls(0.3, -0.2, 0.1))
    numbers |= first("linearised", second.first)
    mixed, control_hessian = second.mixed()
    numbers |= {"mm": second.mm(rows), "one": second.mm(rows[:1]), "mixed": mixed, "hessian": control_hessian}
    del second  # the drift must do without
    return numbers | {"drift": drift.mm(rows)}


def compare(group: Group, objective: OverData, kept: bool) -> dict[str, float]:
    """Relative differences between one and several processes, and the most linearisations kept on any."""
    theta, at = objective.initial(generator()), controls(0.7, 1.3, 0.4)
    wholes = objective.data.blocks(), objective.data.minibatch(9, generator())
    shares = tuple(tuple(block.piece(group.rank, group.world) for block in whole) for whole in wholes)
    share = Counting(tuple(local(objective, blocks, kept) for blocks in shares))
    team = Team(group, share, theta)

    def program() -> dict[str, float]:
        found: dict[str, float] = {}
        for number, whole in enumerate(wholes):
            expected = all_numbers(local(objective, whole, kept), theta, at)
            for name, value in all_numbers(Distributed(team, number), theta, at).items():
                scale = float(expected[name].abs().max())
                found[f"{number} {name}"] = float((value - expected[name]).abs().max()) / (scale or 1.0)
        return found

    return team.lead(program) | {"most": max(group.from_all(share.most))}


def gloo_threads() -> int | None:
    """How many threads of gloo this process has, where the system tells."""
    tasks = Path("/proc/self/task")
    return sum("gloo" in (task / "comm").read_text() for task in tasks.iterdir()) if tasks.is_dir() else None


def mistake_of(tree: dict[str, Any]) -> str:
    with pytest.raises(UserError) as caught:
        rdc_dyn.run(tree)
    return str(caught.value)


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
    report["linear_gaussian"] = mistake_of(linear_gaussian())
    report["few"] = mistake_of(network(curvature_data=1))
    report["device"] = mistake_of(images(device="cuda:0"))
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
    with two("tests.objective.test_distributed", str(where)) as processes:
        for process in processes:
            _, errors = process.communicate(timeout=LIMIT)
            assert process.returncode == 0, errors
    return where


def reports(folder: Path) -> list[dict[str, Any]]:
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


def test_j_and_its_derivatives_are_those_of_one_process(folder: Path) -> None:
    leader, other = (report["differences"] for report in reports(folder))
    assert leader == other
    assert len(leader) == 6
    for case, differences in leader.items():
        worst = max((value, name) for name, value in differences.items() if name != "most")
        assert worst[0] < 1e-13, (case, worst)


def test_what_process_0_no_longer_uses_is_forgotten_everywhere(folder: Path) -> None:
    """Eight linearisations and drifts are made; the old pair is in use until the new one is there."""
    assert all(case["most"] <= 4 for case in reports(folder)[0]["differences"].values())


def test_mistakes_are_raised_on_every_process(folder: Path) -> None:
    for report in reports(folder):
        assert report["linear_gaussian"].startswith("objective: linear_gaussian has no data")
        assert report["few"].startswith("fewer data than processes")
        assert report["device"].startswith("device: cuda:0 is one GPU")


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


def test_torchrun_gives_the_trajectory_of_one_process(tmp_path: Path) -> None:
    found, printed = torchrun(tmp_path, images())
    assert printed.count("completed: ") == 1
    assert printed.count("|grad J|     ETA") == 1
    assert_same(found, rdc_dyn.run(images()))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU on this machine")
@pytest.mark.parametrize("tree", [images, network])
def test_torchrun_on_gpus_gives_the_trajectory_of_one_process(tree: Callable[[], Any], tmp_path: Path) -> None:
    """By nccl where there are two GPUs; two processes share one GPU by gloo."""
    backend = "nccl" if torch.cuda.device_count() >= 2 else "gloo"
    found, _ = torchrun(tmp_path, tree(), "--device", "cuda")
    assert_same(found, rdc_dyn.run(tree(), device="cuda"), backend)


@pytest.mark.parametrize(
    "number, codes",
    [(signal.SIGTERM, [143, 143]), pytest.param(signal.SIGKILL, [-9, 4], marks=pytest.mark.slow)],
)
def test_all_end_with_process_0(number: signal.Signals, codes: list[int], tmp_path: Path) -> None:
    """torchrun hands a signal on to every process; a death of process 0 nobody announces."""
    run = tmp_path / "run"
    file = write(tmp_path, images(integrator={"step_size": 0.0002}))
    with two("rdc_dyn", "run", file, "-o", str(run), "-q") as processes:
        deadline = time.monotonic() + LIMIT
        while not ((run / "log.jsonl").exists() and (run / "log.jsonl").read_text().count('"record"') >= 3):
            assert time.monotonic() < deadline
            assert processes[0].poll() is None, processes[0].communicate()
            time.sleep(0.05)
        for process in processes[:1] if number == signal.SIGKILL else reversed(processes):
            process.send_signal(number)
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

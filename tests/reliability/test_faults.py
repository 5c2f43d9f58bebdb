"""Faults end in a status in bounded time, also without assertions; equal runs have equal bits; memory is flat."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

import rdc_dyn
from rdc_dyn.objective import FiniteLatent, LinearGaussian
from tests.reliability.made import SCENARIOS, same_bits
from tests.reliability.poison import bad_numbers, cases, wrong
from tests.tiny import images, linear_gaussian

ROOT = Path(rdc_dyn.__file__).parents[1]


def _ends(optimised: bool, *arguments: str) -> list[str]:
    """Lines of what went wrong in the runs of `poison`, and of how many there were."""
    command = [sys.executable, *["-O"] * optimised, "-m", "tests.reliability.poison", *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=1500, env=environment)
    assert done.returncode == 0, done.stderr
    first, *lines = done.stdout.splitlines()
    assert first == ("optimised" if optimised else "plain")
    assert len(lines) == len(list(cases(few="few" in arguments)))
    return [line for line in lines if line.split("\t")[1] != "right"]


@pytest.mark.slow
@pytest.mark.parametrize("optimised", [False, True])
def test_what_is_not_finite_ends_in_its_status_with_nothing_of_it_on_disk(
    optimised: bool, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """J, R, D, C, ∇J, A or ∂²J/∂c² alone, at the start and at a step; all methods, correctors and responses."""
    monkeypatch.setenv("TMPDIR", str(scratch))
    assert _ends(optimised) == []


def test_a_few_of_them(tmp_path: Path) -> None:
    found = {}
    for number, case in enumerate(cases(few=True)):
        if number % 7 == 0 and (problem := wrong(case, tmp_path / str(number))):
            found[case] = problem
    assert found == {}


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_validation_loss_that_is_not_finite_ends_the_run(
    bad: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the second point: what was recorded before stays, and only that."""
    sound = FiniteLatent.diagnostics

    def diagnostics(self: FiniteLatent, theta: torch.Tensor, lam: float, *rest: float) -> dict[str, float]:
        numbers = sound(self, theta, lam, *rest)
        return numbers | {"validation_rate": bad} if lam > 0.52 else numbers

    monkeypatch.setattr(FiniteLatent, "diagnostics", diagnostics)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = rdc_dyn.run(images(), tmp_path / "run")
    assert (run.attrs["status"], run.sizes["time"]) == ("NON_FINITE", 1)
    assert "validation_rate" in run.attrs["status_detail"]
    assert bad_numbers(rdc_dyn.open_run(tmp_path / "run"), "linear_response") == []


@pytest.mark.parametrize(("beyond", "least"), [(1.1, 2), (0.0, 0)])
def test_a_decomposition_that_fails_is_a_status(beyond: float, least: int, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = LinearGaussian.free_energy

    def free_energy(self: LinearGaussian, theta: torch.Tensor, lam: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
        torch.linalg.cholesky(torch.eye(2) * (-1.0 if float(lam.detach()) > beyond else 1.0))
        return sound(self, theta, lam, *rest)

    monkeypatch.setattr(LinearGaussian, "free_energy", free_energy)
    run = _quiet(linear_gaussian())
    assert run.attrs["status"] == "NON_FINITE" and "could not be decomposed" in run.attrs["status_detail"]
    assert run.sizes["time"] >= least


def _quiet(tree: dict[str, Any]) -> xr.Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return rdc_dyn.run(tree)


_TWICE = {**SCENARIOS, "images": images(integrator={"step_size": 0.05}), "float32": images(dtype="float32")}


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("kind", _TWICE)
def test_two_identical_runs_have_the_same_bits(kind: str, threads: int) -> None:
    before = torch.get_num_threads()
    try:
        runs = [_quiet({**_TWICE[kind], "threads": threads}) for _ in range(2)]
    finally:
        torch.set_num_threads(before)
    assert same_bits(*runs)
    assert runs[0].attrs["threads"] == threads


@pytest.mark.slow
def test_memory_is_flat_over_two_thousand_steps(scratch: Path) -> None:
    code = (
        "import gc, sys, warnings\n"
        "warnings.simplefilter('ignore')\n"
        "import rdc_dyn\n"
        "from tests.tiny import linear_gaussian\n"
        "tree = linear_gaussian(integrator={'step_size': 0.0002}, response={'solver': {'method': 'cg'}})\n"
        "class Watch:\n"
        "    def equilibrating(self, *a): ...\n"
        "    def event(self, e): ...\n"
        "    def close(self): ...\n"
        "    def record(self, record, fraction):\n"
        "        with open('/proc/self/statm') as file: print(int(file.read().split()[1]), flush=True)\n"
        "run = rdc_dyn.run(tree, sys.argv[1], progress=Watch())\n"
        "assert run.attrs['status'] == 'COMPLETED'\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code, str(scratch / "run")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=3000, env=environment)
    assert done.returncode == 0, done.stderr
    pages = np.array([int(line) for line in done.stdout.split()])
    assert len(pages) == 2001
    half = len(pages) // 2
    assert pages[half:].max() <= 1.02 * pages[:half].max()


@pytest.mark.slow
def test_out_of_memory_is_tried_in_smaller_chunks_and_then_a_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rdc_dyn.curvature.sum_over_data import Local

    linearise, calls = Local.linearise, [0]
    budget = [3, 0.0]

    def short(self: Local, *arguments: Any) -> Any:
        calls[0] += 1
        if calls[0] > budget[0] and len(self.terms) <= budget[1]:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")
        return linearise(self, *arguments)

    monkeypatch.setattr(Local, "linearise", short)
    whole = _quiet(images())
    calls[0], budget[:] = 0, [calls[0] - 3, 1]
    mended = _quiet(images())
    assert mended.attrs["status"] == "COMPLETED"
    assert "memory" in mended.attrs["events"] and "smaller blocks" in mended.attrs["events"]
    np.testing.assert_allclose(mended.rate, whole.rate, rtol=1e-8)
    calls[0], budget[:] = 0, [budget[0], 10**9]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stopped = rdc_dyn.run(images(), tmp_path / "run")
    assert stopped.attrs["status"] == "OUT_OF_MEMORY"
    assert stopped.sizes["time"] >= 1

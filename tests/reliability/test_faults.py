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
from tests.reliability.made import SCENARIOS, same_bits
from tests.tiny import images

# Each starts processes or opens many files: minutes in all.
pytestmark = pytest.mark.slow

ROOT = Path(rdc_dyn.__file__).parents[1]

_POISONED = """
import sys, time, warnings
import numpy as np
warnings.simplefilter("ignore")
import rdc_dyn, torch
from rdc_dyn.dynamics.integrator import ADAPTIVE, ORDERS
from rdc_dyn.objective import LinearGaussian
from tests.tiny import linear_gaussian
bad, optimised = float(sys.argv[1]), not __debug__
sound = LinearGaussian.free_energy
def poisoned(self, theta, lam, *rest):
    value = sound(self, theta, lam, *rest)
    return value * bad if float(lam) > 1.1 else value
LinearGaussian.free_energy = poisoned
for method in ORDERS:
    for rtol in (None, 1e-6):
        if rtol is not None and method not in ADAPTIVE:
            continue
        integrator = {"method": method, "step_size": 0.1, **({"rtol": rtol} if rtol else {})}
        began = time.monotonic()
        run = rdc_dyn.run(linear_gaussian(integrator=integrator))
        seconds = time.monotonic() - began
        finite = all(np.isfinite(run[name]).all() for name in ("rate", "distortion", "free_energy", "lam"))
        print(method, rtol, run.attrs["status"], bool(finite), run.sizes["time"], seconds < 10)
print("optimised", optimised)
"""


@pytest.mark.parametrize("optimised", [False, True])
@pytest.mark.parametrize("bad", ["nan", "inf"])
def test_a_field_that_is_not_finite_is_a_status_within_ten_seconds(bad: str, optimised: bool) -> None:
    options = ["-O"] if optimised else []
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, *options, "-c", _POISONED, bad]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, env=environment)
    assert done.returncode == 0, done.stderr
    *lines, last = done.stdout.splitlines()
    assert last == f"optimised {optimised}"
    assert len(lines) == 15
    for line in lines:
        _, _, status, finite, points, quick = line.split()
        assert status == "NON_FINITE" and finite == "True" and int(points) >= 1 and quick == "True", line


def _quiet(tree: dict[str, Any]) -> xr.Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return rdc_dyn.run(tree)


_TWICE = {**SCENARIOS, "images": images(integrator={"step_size": 0.05}), "float32": images(dtype="float32")}


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


def test_out_of_memory_is_tried_in_smaller_chunks_and_then_a_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rdc_dyn.objective.total import Local

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

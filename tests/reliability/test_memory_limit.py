"""A machine whose memory runs out: torch's allocator on a CPU raises a bare RuntimeError, here at a true limit."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import rdc_dyn

ROOT = Path(rdc_dyn.__file__).parents[1]
#: Runs with the memory that the program has when the start begins and 160 MB more; networks as wide as the first
#: argument, so many samples as the second, and so many Newton steps at the start as the third.
_RUN = """
import resource, sys, warnings
import rdc_dyn
from rdc_dyn.running.progress import Silent
from tests.tiny import images

width, samples, steps = map(int, sys.argv[2:])
tree = images(
    data={"source": {"limit": 375}},
    objective={
        "kind": "amortised", "encoder": {"kind": "mlp", "hidden": [width], "latent_dim": 2},
        "decoder": {"kind": "mlp", "hidden": [width]}, "classifier": {"kind": "linear"}, "samples": samples,
        "weight_prior_precision": 1e3,
    },
    start={"equilibrate": {"adam_steps": 2, "newton_steps": steps, "tolerance": 1e9 if steps == 0 else 1.0}},
    response={"kind": "none"},
    corrector={"method": "newton_krylov", "tolerance": 1e9},
    process={"span": [0.0, 0.1]},
)
del tree["objective"]["alphabet_size"]

class Watch(Silent):
    limited = False

    def equilibrating(self, *report):
        if not self.limited:
            pages = int(open("/proc/self/statm").read().split()[0])
            limit = pages * resource.getpagesize() + 160_000_000
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
            self.limited = True

    def event(self, event):
        print(event.text)

warnings.simplefilter("ignore")
run = rdc_dyn.run(tree, sys.argv[1], progress=Watch())
print(run.attrs["status"])
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the limit is that of Linux")
@pytest.mark.parametrize(
    ("width", "samples", "steps", "status"),
    [(8, 320, 0, "COMPLETED"), pytest.param(50, 2, 1, "OUT_OF_MEMORY", marks=pytest.mark.slow)],
)
def test_a_cpu_without_memory_takes_smaller_blocks_and_ends_in_a_status(
    tmp_path: Path, width: int, samples: int, steps: int, status: str
) -> None:
    """The graph of 300 data (near 400 MB) does not fit, that of few does; a dense factor of A fits with no block."""
    command = [sys.executable, "-c", _RUN, str(tmp_path / "run"), str(width), str(samples), str(steps)]
    # One arena, and blocks that are given back when freed: otherwise the room below the limit is the allocator's luck.
    allocator = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "65536"}
    environment = os.environ | allocator | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, env=environment)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    blocks = [int(line.split()[-2]) for line in lines if "going on in smaller blocks" in line]
    assert blocks and all(after < before for before, after in zip([300, *blocks], blocks)), lines
    assert lines[-1] == status
    assert rdc_dyn.open_run(tmp_path / "run").attrs["status"] == status

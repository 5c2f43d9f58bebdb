"""How much faster two processes of one thread make a product A v than one process of one thread.

`python -m tests.benchmarks.two_processes [IMAGES]` prints medians over alternating repetitions, and their ratio; on two
idle cores it should be at least 1.7. The model is a VAE of the size that MNIST asks for, the images are synthetic.
"""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch
import torch.distributed as dist
from torch import Tensor

from rdc_dyn.curvature.sum_over_data import Local
from rdc_dyn.data.samples import Block, Data, Sample
from rdc_dyn.distributed.evaluated import Distributed
from rdc_dyn.distributed.group import join
from rdc_dyn.objective import Amortised
from rdc_dyn.objective.base import terms_of
from rdc_dyn.objective.likelihood import Bernoulli
from tests.problems import controls, generator, networks

REPETITIONS = 15


def objective(images: int) -> Amortised:
    """784-300-16, its mirror image and a linear classifier: about half a million parameters."""
    g = generator()
    x = torch.rand(images, 784, generator=g, dtype=torch.float64)
    data = Data(Sample(x, torch.arange(images) % 10), None, None, 10)
    return Amortised(data, networks(data, 16, (300,), (300,)), 16, Bernoulli(), 1, 1e-2, seed=0)


def seconds(product: Callable[[], Tensor]) -> float:
    began = time.perf_counter()
    product()
    return time.perf_counter() - began


def measure(images: int) -> None:
    """Time products on this process alone and on both, in turn."""
    torch.set_num_threads(1)
    group, model = join(), objective(images)
    assert group is not None
    theta, at = model.initial(generator()), controls(1.0, 1.0)
    v = torch.randn(1, model.size, generator=generator(), dtype=torch.float64)

    def local(blocks: tuple[Block, ...]) -> Local:
        return Local(terms_of(model, blocks))

    whole = model.data.blocks()
    share = tuple(block.piece(group.rank, group.world) for block in whole)
    one, two = local(whole).linearise(theta, at), Distributed(group, local(share)).linearise(theta, at)
    difference = float((one.mm(v) - two.mm(v)).norm() / one.mm(v).norm())
    times = []
    for _ in range(REPETITIONS):
        dist.barrier()
        alone = seconds(lambda: one.mm(v)) if group.leads else 0.0
        dist.barrier()
        times.append((alone, seconds(lambda: two.mm(v))))
    if not group.leads:
        return
    alone, together = (statistics.median(column) for column in zip(*times))
    ratios = sorted(a / b for a, b in times)
    print(f"{model.size} parameters, {images} images, {REPETITIONS} repetitions, difference {difference:.1e}")
    print(f"one process {alone:.3f} s, two processes {together:.3f} s per product")
    print(f"ratio of medians {alone / together:.2f} (single ratios {ratios[0]:.2f} to {ratios[-1]:.2f})")


def main(images: int) -> int:
    """Start both processes; the exit code is the larger of theirs."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    command = [sys.executable, "-m", "tests.benchmarks.two_processes", str(images)]
    environment = os.environ | common | {"OMP_NUM_THREADS": "1"}
    ranks = [{"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(2)]
    processes = [subprocess.Popen(command, env=environment | rank) for rank in ranks]
    return max(abs(process.wait()) for process in processes)


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    if "RANK" in os.environ:
        measure(count)
    else:
        sys.exit(main(count))

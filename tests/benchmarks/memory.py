"""Peak memory of a gradient and a product when the data double: MNIST VAE, graphs built anew for blocks of data.

`python -m tests.benchmarks.memory [IMAGES] [GB]`. Each number of images is measured in a process of its own (Linux),
with the memory of the data themselves taken off.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import torch

from rdc_dyn.curvature.free_energy import FreeEnergy
from rdc_dyn.curvature.linearisation import Work
from rdc_dyn.curvature.memory import evaluation
from tests.benchmarks.models import like, mnist, mnist_vae
from tests.problems import controls, generator


def peak(images: int, gigabytes: float, mode: str) -> None:
    """Print the rise of the peak of resident memory over what it was with the data loaded, in MB."""
    torch.set_num_threads(1)
    data, name = mnist(like("cpu"), images)
    objective = mnist_vae(data)
    theta, at = objective.initial(generator()), controls(0.25, 4.0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew (Linux)
    before = _status("VmRSS")
    chosen = evaluation(objective, theta, at, "kept" if mode == "kept" else "recomputed", 1e9 * gigabytes)
    here = FreeEnergy(objective, Work(), chosen.local).linearise(theta, at)
    here.mv(torch.randn(objective.size, generator=generator(), dtype=torch.float64))
    rise = (_status("VmHWM") - before) / 1024
    print(f"{rise:.1f} {chosen.block_size} {name}")


def _status(key: str) -> int:
    """A line of the process's status, in kB."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[key].split()[0])


def main(images: int = 5000, gigabytes: float = 0.5) -> None:
    for mode in ("recomputed", "kept"):
        rises = []
        for count in (images, 2 * images):
            command = [
                sys.executable,
                "-W",
                "ignore",
                "-m",
                "tests.benchmarks.memory",
                str(count),
                str(gigabytes),
                mode,
            ]
            rise, block, name = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split(" ", 2)
            rises.append(float(rise))
            print(f"{mode}: {count} images ({name.strip()}), blocks of {block}: {rises[-1]:.0f} MB above the data")
        print(f"{mode}: {rises[1] / rises[0]:.2f} x the memory for twice the data (allowed for graphs: {gigabytes} GB)")


if __name__ == "__main__":
    if len(sys.argv) > 3:
        peak(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3])
    else:
        main(*(kind(word) for kind, word in zip((int, float), sys.argv[1:])))

"""What C is made of: C and accuracy over codes z and at the mean code, at the first and last points of runs.

`python -m tests.benchmarks.code_noise RUN ...`. Two models of equal classification loss need not be equally accurate:
C is the mean of -log c(y|z) over codes that the encoder draws, so a part of it is noise and the rest is there without.
Held-out data where there are some; the accuracies are of one code, of two together (so it is recorded with
`samples: 2`) and of the mean code.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch

import rdc_dyn
from rdc_dyn.running.build import build
from rdc_dyn.scenario import loads

CODES = 32


def measured(networks: dict[str, torch.nn.Module], x: torch.Tensor, y: torch.Tensor) -> dict[str, float]:
    """C in nats and accuracies, over codes and without noise; and the mean standard deviation of a code."""
    with torch.no_grad():
        mean, log_variance = networks["encoder"](x).chunk(2, dim=1)
        deviation = (0.5 * log_variance).exp()

        def log_probabilities(noise: torch.Tensor | float) -> torch.Tensor:
            return torch.log_softmax(networks["classifier"](mean + deviation * noise), dim=1)

        drawn = torch.stack([log_probabilities(torch.randn_like(mean)) for _ in range(CODES)])
        still, rows = log_probabilities(0.0), torch.arange(len(y))
        pairs = drawn.exp().unflatten(0, (-1, 2)).mean(1)
    return {
        "C": -float(drawn[:, rows, y].mean()),
        "C still": -float(still[rows, y].mean()),
        "one code": float((drawn.argmax(2) == y).double().mean()),
        "two codes": float((pairs.argmax(2) == y).double().mean()),
        "mean code": float((still.argmax(1) == y).double().mean()),
        "deviation": float(deviation.mean()),
    }


def main(*folders: str) -> None:
    torch.manual_seed(0)
    numbers = f"{'lam':>7}{'gamma':>8}{'C':>9}{'C still':>9}{'one code':>10}{'two':>8}{'mean':>8}{'deviation':>11}"
    print(f"{'run':30}{numbers}")
    for folder in folders:
        trajectory = rdc_dyn.open_run(folder)
        objective: Any = build(loads(trajectory.attrs["scenario"]), Path.cwd()).problem.free_energy.objective
        sample = objective.data.validation or objective.data.source
        for point in (0, trajectory.sizes["time"] - 1):
            here = trajectory.isel(time=point)
            found = measured(rdc_dyn.load_networks(folder, point=point), sample.x.cpu(), sample.y.cpu())
            print(
                f"{trajectory.attrs['title'] if point == 0 else '':30}{float(here.lam):7.3g}{float(here.gamma):8.4g}"
                f"{found['C']:9.4f}{found['C still']:9.4f}{found['one code']:10.4f}{found['two codes']:8.4f}"
                f"{found['mean code']:8.4f}{found['deviation']:11.3f}"
            )


if __name__ == "__main__":
    main(*sys.argv[1:])

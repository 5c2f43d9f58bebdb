"""An update of the stochastic corrector beside a plain PyTorch loop, with one and two backward passes.

    python -m tests.benchmarks.updates [cpu | cuda]

The plain loop draws its minibatch, computes R, D and C, goes back once through R + λD + γC, or twice through R + λD and
C, and steps Adam as torch.optim has it. The corrector's update does what it needs besides: the table of losses, the
plant's gain, feedback, the averages of an epoch.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from rdc_dyn.curvature.free_energy import FreeEnergy
from rdc_dyn.curvature.linearisation import Work
from rdc_dyn.data.samples import Data, Sample
from rdc_dyn.dynamics import Constraint, Feedback
from rdc_dyn.dynamics.correctors.minibatch_descent import Descent
from rdc_dyn.objective import Amortised
from rdc_dyn.objective.architectures import Deconv
from rdc_dyn.objective.likelihood import Bernoulli
from rdc_dyn.objective.networks import Networks
from rdc_dyn.objective.resnet18 import ResNet18
from tests.benchmarks.models import like, mnist
from tests.benchmarks.timing import machine, medians
from tests.problems import generator, networks

_UPDATES = 40


def mlp(device: str) -> tuple[Amortised, int]:
    data, _ = mnist(like(device, torch.float32), 20_000)
    return Amortised(data, networks(data, 8, (64,), (64,)), 8, Bernoulli(), 2, 1e-3, seed=0, fresh=True), 250


def resnet(device: str) -> tuple[Amortised, int]:
    x = torch.rand(2_000, 3 * 32 * 32, generator=generator()).to(device)
    data = Data(Sample(x, torch.arange(2_000, device=device) % 10), None, None, 10, shape=(3, 32, 32))
    nets = Networks(
        ResNet18(8, stem="7x7").build((3, 32, 32), (16,)),
        Deconv(8).build((8,), (3, 32, 32)),
        nn.Linear(8, 10, device="meta"),
    )
    return Amortised(data, nets, 8, Bernoulli(), 1, 1e-3, seed=0, fresh=True), 100


def plain(objective: Amortised, theta: Tensor, batch: int, backward: int) -> Callable[[], None]:
    """A training loop as anyone would write it, over modules of its own."""
    modules = objective.networks.to_empty(device=theta.device)
    for parameter, piece in zip(modules.parameters(), objective.layout.unflatten(theta).values()):
        parameter.data = piece.clone()
    optimiser = torch.optim.Adam(modules.parameters(), lr=1e-3)
    sample, count, s = objective.data.source, len(objective.data.source), objective.samples

    def loop() -> None:
        for _ in range(_UPDATES):
            rows = torch.randint(count, (batch,), device=theta.device)
            x, y = sample.x[rows], sample.y[rows]
            found = modules(x, torch.randn(batch, s, objective.latent_dim, device=theta.device))
            rate = 0.5 * (found.mean.square() + found.log_variance.exp() - found.log_variance - 1).sum(1).mean()
            pixels = x[:, None].expand_as(found.output)
            distortion = binary_cross_entropy_with_logits(found.output, pixels, reduction="sum") / (batch * s)
            loss = cross_entropy(found.logits.flatten(0, 1), y.repeat_interleave(s))
            optimiser.zero_grad()
            if backward == 1:
                (rate + 0.25 * distortion + 4.0 * loss).backward()
            else:
                (rate + 0.25 * distortion).backward(retain_graph=True)
                (4.0 * loss).backward()
            optimiser.step()

    return loop


def corrector(objective: Amortised, theta: Tensor, batch: int) -> Callable[[], None]:
    c = theta.new_tensor([0.25, 4.0, 0.0])
    held = Constraint(
        theta.new_tensor([[0.0, 0.0, 1.0]]), theta.new_tensor([0.3]), theta.new_tensor([[0.0, 1.0, 0.0]]),
        theta.new_tensor([[-0.05]]),
    )  # fmt: skip
    descent = Descent(
        FreeEnergy(objective, Work()), theta, c, held, Feedback(), None, batch, (1e-3, 3e-4), generator(1)
    )
    batches = iter([])  # type: ignore[var-annotated]

    def loop() -> None:
        nonlocal batches
        for _ in range(_UPDATES):
            blocks = next(batches, None)
            if blocks is None:
                batches = objective.data.epoch(batch, generator(2))
                blocks = next(batches)
            descent._update(blocks, 1e-3, 0.5, feeds_back=True)

    return loop


def main(device: str = "cpu") -> int:
    torch.set_num_threads(1)
    print(machine(torch.device(device)))
    for name, (objective, batch) in {"MLP": mlp(device), "ResNet-18, width 8": resnet(device)}.items():
        theta = objective.initial(generator()).to(objective.data.source.x)
        times = medians(
            {
                "corrector": corrector(objective, theta, batch),
                "two backward passes": plain(objective, theta, batch, 2),
                "one backward pass": plain(objective, theta, batch, 1),
            },
            torch.device(device),
            repetitions=7,
        )
        update = 1e3 * times["corrector"] / _UPDATES
        ratios = ", ".join(f"{times['corrector'] / times[n]:.2f} x {n}" for n in list(times)[1:])
        print(f"{name} ({objective.size} parameters, batch {batch}): {update:.1f} ms an update, {ratios}")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

"""One product A v against one gradient, and against what other programs do: a 784-300-100-10 network on MNIST.

`python -m tests.benchmarks.products [DEVICE] [IMAGES]`; curvlinops is measured where it is installed. On a CPU there
follow the times of a product and of updates with and without large blocks kept (`RDC_DYN_ALLOCATOR`).
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp

from rdc_dyn.curvature.free_energy import FreeEnergy
from rdc_dyn.curvature.graph import GradientGraph, differentiate
from rdc_dyn.curvature.linearisation import Work
from rdc_dyn.objective.networks import Layout
from rdc_dyn.running.allocator import VARIABLE, keep_large_blocks
from tests.benchmarks.models import digits_vae, like, mnist
from tests.benchmarks.timing import machine, medians
from tests.benchmarks.updates import corrector, mlp
from tests.problems import controls, generator


def main(device: str = "cpu", images: int = 2000) -> None:
    torch.set_num_threads(2)
    number = like(device, torch.float32)
    data, name = mnist(number, images)
    x, y = data.source.x, data.source.y
    net = nn.Sequential(nn.Linear(784, 300), nn.Tanh(), nn.Linear(300, 100), nn.Tanh(), nn.Linear(100, 10)).to(x)
    layout = Layout.of(net)
    theta = layout.initial(generator()).to(x)

    def loss(theta: Tensor, *_: Tensor) -> Tensor:
        return nn.functional.cross_entropy(functional_call(net, layout.unflatten(theta), (x,)), y)

    controls = x.new_zeros(3)
    graph = GradientGraph((loss,), theta, controls)
    rows = torch.randn(8, layout.size, generator=generator(), dtype=torch.float64).to(x)
    v = rows[:1]
    functions: dict[str, Callable[[], Any]] = {
        "gradient": lambda: differentiate((loss,), theta, controls),
        "A v, kept graph": lambda: graph.mm(v),
        "A v, recomputed": lambda: GradientGraph((loss,), theta, controls).mm(v),
        "8 products at once, kept graph": lambda: graph.mm(rows),
        "jvp(grad)": lambda: jvp(grad(loss), (theta,), (v[0],)),
    } | _curvlinops(net, layout, theta, x, y, v[0])
    times = medians(functions, x.device)
    reference = graph.mm(v)[0]
    for other in ("jvp(grad)", "curvlinops"):
        if other in functions:
            result = functions[other]()
            product = result[1] if isinstance(result, tuple) else result
            difference = float((product - reference).norm() / reference.norm())
            assert difference < 1e-4, f"{other} gives another product: {difference}"
    print(f"{layout.size} parameters, {images} images ({name}), float32, {machine(x.device)}")
    for key, elapsed in times.items():
        ratio, ours = elapsed / times["gradient"], elapsed / times["A v, kept graph"]
        print(f"{key:32s} {1e3 * elapsed:8.2f} ms   {ratio:5.2f} gradients   {ours:5.2f} kept products")
    if device == "cpu":
        compare_allocators()


def compare_allocators(repetitions: int = 9) -> None:
    """Print medians of CPU time and page faults of a product or update, from two processes that take turns."""
    print(f"{'CPU time and page faults, one thread':32s} {'system':>22s} {'keep':>22s}   keep/system")
    for name in _REPEATED:
        command = [sys.executable, "-W", "ignore", "-m", "tests.benchmarks.products", "--serve", name]
        pair = [
            subprocess.Popen(command, stdin=-1, stdout=-1, text=True, env=os.environ | {VARIABLE: choice})
            for choice in ("system", "keep")
        ]
        found: list[list[tuple[float, ...]]] = [[], []]
        for turn in range(repetitions + 2):
            for worker, rows in zip(pair, found):
                assert worker.stdin is not None and worker.stdout is not None
                print(file=worker.stdin, flush=True)
                row = tuple(map(float, worker.stdout.readline().split()))
                if turn >= 2:
                    rows.append(row)
        for worker in pair:
            worker.communicate()
        (before, lost), (after, kept) = ([statistics.median(column) for column in zip(*rows)] for rows in found)
        print(
            f"{name:32s} {before:8.2f} ms, {lost:7.1f} {after:11.2f} ms, {kept:7.1f}   {after / before:.2f}", flush=True
        )


def _product() -> Callable[[], Any]:
    objective = digits_vae(like("cpu"))
    at = FreeEnergy(objective, Work()).linearise(objective.initial(generator()), controls(0.25, 4.0))
    return lambda: [at.mv(at.gradient) for _ in range(40)]


def _update(batch: int) -> Callable[[], Any]:
    objective, _ = mlp("cpu")
    return corrector(objective, objective.initial(generator()).float(), batch)


#: Each makes a function that does forty of what is measured.
_REPEATED: dict[str, Callable[[], Callable[[], Any]]] = {
    "product, digits VAE": _product,
    "update, 32 MNIST images": partial(_update, 32),
    "update, 250 MNIST images": partial(_update, 250),
}


def serve(name: str) -> None:
    """Measure one of forty each time that a line comes in, and answer with milliseconds and page faults."""
    keep_large_blocks()
    torch.set_num_threads(1)
    repeat = _REPEATED[name]()
    for _ in sys.stdin:
        before = resource.getrusage(resource.RUSAGE_SELF)
        repeat()
        after = resource.getrusage(resource.RUSAGE_SELF)
        elapsed = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        print(25 * elapsed, (after.ru_minflt - before.ru_minflt) / 40, flush=True)


def _curvlinops(
    net: nn.Module, layout: Layout, theta: Tensor, x: Tensor, y: Tensor, v: Tensor
) -> dict[str, Callable[[], Any]]:
    try:
        from curvlinops import HessianLinearOperator
    except ImportError:
        print("curvlinops is not installed; `pip install curvlinops-for-pytorch` to compare")
        return {}
    with torch.no_grad():
        for parameter, value in zip(net.parameters(), layout.unflatten(theta).values()):
            parameter.copy_(value)
    operator = HessianLinearOperator(
        net, nn.CrossEntropyLoss(), list(net.parameters()), [(x, y)], check_deterministic=False
    )
    return {"curvlinops": lambda: operator @ v}


if __name__ == "__main__":
    if "--serve" in sys.argv:
        serve(sys.argv[2])
    else:
        main(sys.argv[1] if len(sys.argv) > 1 else "cpu", int(sys.argv[2]) if len(sys.argv) > 2 else 2000)

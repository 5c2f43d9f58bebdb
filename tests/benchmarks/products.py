"""One product A v against one gradient, and against what other programs do: a 784-300-100-10 network on MNIST.

`python -m tests.benchmarks.products [DEVICE] [IMAGES]`; curvlinops is measured where it is installed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp

from rdc_dyn.curvature.graph import GradientGraph, differentiate
from rdc_dyn.objective.networks import Layout
from tests.benchmarks.models import like, mnist
from tests.benchmarks.timing import machine, medians
from tests.problems import generator


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
    main(sys.argv[1] if len(sys.argv) > 1 else "cpu", int(sys.argv[2]) if len(sys.argv) > 2 else 2000)

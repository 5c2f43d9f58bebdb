"""What a run of a digits VAE spends outside automatic differentiation, evaluation of the model and linear algebra.

`python -m tests.benchmarks.loop_overhead [SCENARIO]` runs a scenario (the shipped digits VAE) and times every call into
J, its derivatives, the solvers and preconditioners; what is left is the program's own: step control, correctors,
torchdiffeq, records and files. Loading data and libraries is told apart.
"""

from __future__ import annotations

import functools
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

import rdc_dyn
from rdc_dyn.curvature.sum_over_data import Local, LocalSecond
from rdc_dyn.dynamics.minimise import Minimiser
from rdc_dyn.linalg import ConjugateGradient, Preconditioner
from rdc_dyn.objective.variational import Variational
from rdc_dyn.running import runner

_SCENARIO = Path(__file__).resolve().parents[2] / "scenarios" / "digits_vae_iso_classification.yaml"
_TIMED: tuple[tuple[type, tuple[str, ...]], ...] = (
    (Local, ("value", "gradient")),
    (LocalSecond, ("__init__", "mm", "mixed")),
    (ConjugateGradient, ("solve",)),
    (Preconditioner, ("prepare", "refresh", "apply", "learn", "most_negative")),
    (Minimiser, ("_steihaug",)),
    (Variational, ("diagnostics",)),
    (torch.optim.Adam, ("__init__", "step")),  # its first use imports half of torch
)


@dataclass
class Clock:
    """Seconds inside the outermost of nested timed calls, by class.

    Attributes:
        seconds: By class name.
        depth: How many timed calls are open.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    depth: int = 0

    def timed(self, owner: type, method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            if self.depth:
                return method(*args, **kwargs)
            self.depth, began = 1, time.perf_counter()
            try:
                return method(*args, **kwargs)
            finally:
                self.depth = 0
                name = owner.__name__
                self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began

        return wrapper


def main(scenario: str = str(_SCENARIO)) -> None:
    torch.set_num_threads(2)
    clock = Clock()
    for owner, names in _TIMED:
        for name in names:
            setattr(owner, name, clock.timed(owner, getattr(owner, name)))
    drive, spent = runner.drive, [0.0]

    def timed_drive(*args: Any) -> Any:
        began = time.perf_counter()
        try:
            return drive(*args)
        finally:
            spent[0] = time.perf_counter() - began

    setattr(runner, "drive", timed_drive)  # noqa: B010
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        dataset = rdc_dyn.run(scenario, Path(folder) / "run", progress=False)
        whole, total = time.perf_counter() - began, spent[0]
    inside = sum(clock.seconds.values())
    print(
        f"{dataset.sizes['time']} points, status {dataset.attrs['status']}, {total:.1f} s, and {whole - total:.1f} s "
        "before and after"
    )
    for name, seconds in sorted(clock.seconds.items(), key=lambda item: -item[1]):
        print(f"  {name:20s} {seconds:7.2f} s  {100 * seconds / total:5.1f} %")
    print(f"outside: {total - inside:.2f} s, {100 * (total - inside) / total:.1f} % of the run")


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Adam on θ by torch's function: torch's class loads a compiler at its first use, which takes longer than many runs."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch.optim.adam import adam

from rdc_dyn.linalg.base import Vector


@dataclass
class Adam:
    """Adam's state: θ, which it changes in place, the running means of ∇J and of its square, and the steps so far."""

    theta: Vector
    mean: Vector = field(init=False)
    square: Vector = field(init=False)
    count: torch.Tensor = field(default_factory=lambda: torch.tensor(0.0))

    def __post_init__(self) -> None:
        self.mean, self.square = torch.zeros_like(self.theta), torch.zeros_like(self.theta)

    def step(self, gradient: Vector, learning_rate: float) -> None:
        """One step along a gradient, with torch's defaults (β₁ = 0.9, β₂ = 0.999, ε = 1e-8)."""
        theta, means, squares, counts = [self.theta], [self.mean], [self.square], [self.count]
        adam(theta, [gradient], means, squares, [], counts, foreach=self.theta.is_cuda, lr=learning_rate, beta1=0.9,
             beta2=0.999, eps=1e-8, weight_decay=0.0, amsgrad=False, maximize=False)  # fmt: skip

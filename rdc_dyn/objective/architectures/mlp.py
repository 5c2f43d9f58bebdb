"""h ↦ W_L φ(… φ(W_1 h + b_1) …) + b_L: a multilayer perceptron."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

from torch import nn

from rdc_dyn.objective.architectures.base import ACTIVATIONS, Shape


@dataclass(frozen=True)
class Mlp:
    """Linear layers with an activation between them; with one hidden layer of 500 tanh units Kingma & Welling's (2013).

    Attributes:
        hidden: Units of each hidden layer; none makes the map linear.
        activation: φ, one of `ACTIVATIONS`.
    """

    hidden: tuple[int, ...]
    activation: str = "tanh"

    def build(self, inputs: Shape, outputs: Shape) -> nn.Module:
        """Images are taken, and made, as rows of numbers."""
        return mlp((math.prod(inputs), *self.hidden, math.prod(outputs)), self.activation)


def mlp(sizes: tuple[int, ...], activation: str) -> nn.Sequential:
    """Linear layers of the given sizes with the activation between them.

    Args:
        sizes: Width of the input, of each hidden layer and of the output.
        activation: One of `ACTIVATIONS`.

    Returns:
        The network, on the meta device.
    """
    layers: list[nn.Module] = []
    for i, (fan_in, fan_out) in enumerate(pairwise(sizes)):
        if i:
            layers.append(ACTIVATIONS[activation]())
        layers.append(nn.Linear(fan_in, fan_out, device="meta"))
    return nn.Sequential(*layers)

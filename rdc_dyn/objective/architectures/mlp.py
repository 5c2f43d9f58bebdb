"""h ↦ W_L φ(… φ(W_1 h + b_1) …) + b_L: a multilayer perceptron."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

from torch import nn

from rdc_dyn.objective.architectures.base import ACTIVATIONS, Shape


@dataclass(frozen=True)
class Mlp:
    """Linear layers with an activation φ between them; without hidden layers the map is linear.

    One hidden layer of 500 tanh units gives the networks of Kingma & Welling (2013).
    """

    hidden: tuple[int, ...]
    activation: str = "tanh"

    def build(self, inputs: Shape, outputs: Shape) -> nn.Module:
        """A perceptron whose inputs and outputs are flattened, images included."""
        return mlp((math.prod(inputs), *self.hidden, math.prod(outputs)), self.activation)


def mlp(sizes: tuple[int, ...], activation: str) -> nn.Sequential:
    """Linear layers on the meta device, of the given sizes from input to output, with an activation between them."""
    layers: list[nn.Module] = []
    for i, (fan_in, fan_out) in enumerate(pairwise(sizes)):
        if i:
            layers.append(ACTIVATIONS[activation]())
        layers.append(nn.Linear(fan_in, fan_out, device="meta"))
    return nn.Sequential(*layers)

"""The interface of an architecture: it builds a network on the meta device, whose parameters come from θ."""

from __future__ import annotations

from typing import Protocol

from torch import nn

#: Shape of one input or output, without the data dimension: (n,), or (C, H, W) for an image.
Shape = tuple[int, ...]

# ReLU is missing on purpose: its second derivative vanishes, so A and the response would be those of another function.
ACTIVATIONS: dict[str, type[nn.Module]] = {
    "tanh": nn.Tanh,
    "softplus": nn.Softplus,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "sigmoid": nn.Sigmoid,
}


class Architecture(Protocol):
    """A family of networks with given settings."""

    def build(self, inputs: Shape, outputs: Shape) -> nn.Module:
        """A module from flattened inputs (N, n) to flattened outputs (N, m), its parameters on the meta device."""

"""What an architecture is: a network on the meta device, whose numbers come from θ."""

from __future__ import annotations

from typing import Protocol

from torch import nn

#: Of one input or output, without the data dimension: (n,) or, of an image, (C, H, W).
Shape = tuple[int, ...]

# ReLU is missing on purpose: its second derivative vanishes, and A and the response would be those of another function.
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
        """The member that maps flattened inputs to flattened outputs.

        Args:
            inputs: Shape of one input.
            outputs: Shape of one output.

        Returns:
            A module that takes (N, n) and gives (N, m), with its parameters on the meta device.
        """
        ...

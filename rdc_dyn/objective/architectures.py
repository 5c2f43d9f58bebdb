"""Architectures of encoder, decoder and classifier: each builds a network from the shapes of its input and output."""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor, nn

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


@dataclass(frozen=True)
class Deconv:
    """A code as an image of one pixel and d channels, which grows to 4 w, 2 w, w and C channels with w = `width`.

    The paper says only "4-layer deconvolutional decoder"; channels, kernels and activation are chosen here.
    """

    width: int = 64
    activation: str = "silu"

    def build(self, inputs: Shape, outputs: Shape) -> nn.Module:
        """A decoder from codes to images (C, H, W)."""
        return _Deconvolution(self, math.prod(inputs), outputs)


class _Deconvolution(nn.Module):
    def __init__(self, chosen: Deconv, latent_dim: int, shape: Shape) -> None:
        super().__init__()
        channels = (latent_dim, 4 * chosen.width, 2 * chosen.width, chosen.width, shape[0])
        height, width = shape[1:]
        sides = [(1, 1), *((-(-height // shrink), -(-width // shrink)) for shrink in (8, 4, 2, 1))]
        layers: list[nn.Module] = []
        with torch.device("meta"):
            for number, ((c, d), (n, m)) in enumerate(zip(pairwise(channels), pairwise(sides))):
                if number == 0:
                    layers.append(nn.ConvTranspose2d(c, d, m))
                    continue
                # With stride 2 and padding 1 a kernel of 4 turns n pixels into 2 n, a kernel of 3 into 2 n − 1.
                kernel = (4 if m[0] == 2 * n[0] else 3, 4 if m[1] == 2 * n[1] else 3)
                layers += [ACTIVATIONS[chosen.activation](), nn.ConvTranspose2d(c, d, kernel, stride=2, padding=1)]
        self.layers = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        """The images of all codes, flattened; leading dimensions are kept."""
        images: Tensor = self.layers(z.flatten(0, -2)[:, :, None, None])
        return images.flatten(1).unflatten(0, z.shape[:-1])

"""Encoder, decoder and classifier networks, and the flat vector θ of their parameters."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from rdc_dyn.linalg.base import Vector

# ReLU is missing on purpose: its second derivative vanishes, and A and the response would be those of another function.
ACTIVATIONS: dict[str, type[nn.Module]] = {
    "tanh": nn.Tanh,
    "softplus": nn.Softplus,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "sigmoid": nn.Sigmoid,
}


def mlp(sizes: tuple[int, ...], activation: str) -> nn.Sequential:
    """Linear layers of the given sizes with the activation between them.

    Args:
        sizes: Width of the input, of each hidden layer and of the output.
        activation: One of `ACTIVATIONS`.

    Returns:
        The network, in float64, on the meta device: its numbers come from θ.
    """
    layers: list[nn.Module] = []
    for i, (fan_in, fan_out) in enumerate(pairwise(sizes)):
        if i:
            layers.append(ACTIVATIONS[activation]())
        layers.append(nn.Linear(fan_in, fan_out, device="meta"))
    return nn.Sequential(*layers)


class Networks(nn.Module):
    """Encoder, decoder and classifier as one module.

    Args:
        encoder: x ↦ (mean, log-variance), 2 d outputs.
        decoder: z ↦ output of the likelihood.
        classifier: z ↦ class logits.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder, self.classifier = encoder, decoder, classifier

    def forward(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Mean and log-variance (N, d), z = μ + s ε (N, S, d), decoder outputs (N, S, n) and class logits (N, S, Y)."""
        mean, log_variance = self.encoder(x).chunk(2, dim=-1)
        z = mean[:, None, :] + (0.5 * log_variance).exp()[:, None, :] * noise
        return mean, log_variance, z, self.decoder(z), self.classifier(z)


@dataclass(frozen=True)
class Layout:
    """Where each named parameter lies in θ.

    Attributes:
        names: Parameter names, as `torch.nn.Module.named_parameters` gives them.
        shapes: Their shapes.
    """

    names: tuple[str, ...]
    shapes: tuple[torch.Size, ...]

    @classmethod
    def of(cls, module: nn.Module) -> Layout:
        """The layout of a module's parameters, in its own order."""
        named = list(module.named_parameters())
        return cls(tuple(name for name, _ in named), tuple(p.shape for _, p in named))

    @property
    def size(self) -> int:
        """Number of parameters."""
        return sum(shape.numel() for shape in self.shapes)

    def unflatten(self, theta: Vector) -> dict[str, Tensor]:
        """Views into θ by parameter name, as `torch.func.functional_call` takes them."""
        pieces = theta.split([shape.numel() for shape in self.shapes])
        return {name: piece.view(shape) for name, piece, shape in zip(self.names, pieces, self.shapes)}

    def initial(self, generator: torch.Generator) -> Vector:
        """Glorot-normal weight matrices (Glorot & Bengio 2010) and zero biases, in float64 on the CPU."""
        pieces = []
        for shape in self.shapes:
            noise = torch.randn(shape, generator=generator, dtype=torch.float64)
            fan_out, fan_in = (shape[0], shape[1:].numel()) if len(shape) > 1 else (0, 0)
            scale = math.sqrt(2.0 / (fan_in + fan_out)) if len(shape) > 1 else 0.0
            pieces.append((scale * noise).flatten())
        return torch.cat(pieces)

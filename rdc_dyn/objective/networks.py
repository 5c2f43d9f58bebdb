"""Encoder, decoder and classifier networks, and the flat vector θ of their parameters."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.modules.instancenorm import _InstanceNorm
from torch.nn.utils.parametrizations import _SpectralNorm
from torch.nn.utils.spectral_norm import SpectralNorm

from rdc_dyn.linalg.base import Vector
from rdc_dyn.status import UserError

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


class Outputs(NamedTuple):
    """What the networks make of N data with S codes each.

    Attributes:
        mean: μ.
        log_variance: ln s².
        z: μ + s ε.
        output: Decoder outputs.
        logits: Class logits.
    """

    mean: Float[Tensor, "N d"]
    log_variance: Float[Tensor, "N d"]
    z: Float[Tensor, "N S d"]
    output: Float[Tensor, "N S n"]
    logits: Float[Tensor, "N S Y"]


class Networks(nn.Module):
    """Encoder, decoder and classifier as one module.

    They may be any modules. Those that draw at random or look at other data of a batch are refused, see
    `refuse_no_function`. ReLU and other piecewise linear activations are not, but their second derivatives vanish: A,
    b and the response are then those of the pieces, and equilibria are lost where a path crosses from one to the next.

    Args:
        encoder: x ↦ (mean, log-variance), 2 d outputs.
        decoder: z ↦ output of the likelihood.
        classifier: z ↦ class logits.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder, self.classifier = encoder, decoder, classifier

    def forward(self, x: Float[Tensor, "N n"], noise: Float[Tensor, "N S d"]) -> Outputs:
        """Codes z = μ + s ε of the data, and what decoder and classifier make of them."""
        mean, log_variance = self.encoder(x).chunk(2, dim=-1)
        z = mean[:, None, :] + (0.5 * log_variance).exp()[:, None, :] * noise
        return Outputs(mean, log_variance, z, self.decoder(z), self.classifier(z))


def refuse_no_function(networks: nn.Module) -> None:
    """Refuse modules that make J no function of θ, or no sum over data.

    Randomness inside a module's own code cannot be seen here; `FreeEnergy.require_deterministic` finds it.

    Args:
        networks: Encoder, decoder and classifier.

    Raises:
        UserError: If there is such a module; it is named by its path.
    """
    for path, module in networks.named_modules():
        reason = _no_function(module)
        if reason is not None:
            raise UserError(f"networks.{path} ({type(module).__name__}): {reason}")


def _no_function(module: nn.Module) -> str | None:
    """Why a module is refused, and what to use instead."""
    if _draws(module):
        return (
            "draws at random at each call, so J is no function of theta; call eval() on it or leave it out, "
            "weight_prior_precision regularises"
        )
    if isinstance(module, _BatchNorm) and (module.training or module.running_mean is None):
        return "mixes the data of a batch, so J is no sum over data; use GroupNorm, or eval() with running statistics"
    if isinstance(module, _InstanceNorm) and module.training and module.track_running_stats:
        return "changes its running statistics at each call; use GroupNorm, or track_running_stats=False"
    hooks = module._forward_pre_hooks.values()
    spectral = isinstance(module, _SpectralNorm) or any(isinstance(hook, SpectralNorm) for hook in hooks)
    if spectral and module.training:
        return "goes on with its power iteration at each call, so J is no function of theta; call eval() on it"
    return None


def _draws(module: nn.Module) -> bool:
    """Whether each call draws at random."""
    if isinstance(module, nn.FractionalMaxPool2d | nn.FractionalMaxPool3d):
        return True
    if not module.training:
        return False
    if isinstance(module, _DropoutNd):
        return module.p > 0
    if isinstance(module, nn.RReLU):
        return module.lower != module.upper
    return isinstance(module, nn.MultiheadAttention | nn.RNNBase) and module.dropout > 0


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

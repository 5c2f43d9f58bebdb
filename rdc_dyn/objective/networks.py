"""Encoder, decoder and classifier networks, and the flat vector θ of their parameters."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.modules.instancenorm import _InstanceNorm
from torch.nn.parameter import is_lazy
from torch.nn.utils.parametrizations import _SpectralNorm
from torch.nn.utils.spectral_norm import SpectralNorm

from rdc_dyn.linalg.base import Vector
from rdc_dyn.status import UserError

#: Layers whose weights scale values of unit variance.
_NORMS = (_NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)


class Outputs(NamedTuple):
    """Outputs of the networks for N data with S codes z = μ + s ε each."""

    mean: Float[Tensor, "N d"]
    log_variance: Float[Tensor, "N d"]
    z: Float[Tensor, "N S d"]
    output: Float[Tensor, "N S n"]
    logits: Float[Tensor, "N S Y"]


class Networks(nn.Module):
    """Encoder, decoder and classifier as one module.

    Any modules will do. The encoder maps rows (N, n) to means and log-variances, (N, 2 d); the decoder and the
    classifier map codes (N S, d) to the likelihood's parameters and to logits, and the decoder may return images.
    Parameters that require no gradient are not part of θ and stay fixed.

    Modules that draw at random or look at other data of a batch are refused, see `refuse_no_function`. ReLU and other
    piecewise linear activations are accepted, but their second derivatives vanish: A, b and the response are then those
    of the pieces, and equilibria are lost where a path crosses from one piece to the next.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder, self.classifier = encoder, decoder, classifier

    @property
    def convolves(self) -> bool:
        """Whether any layer is a convolution."""
        return any(isinstance(module, _ConvNd) for module in self.modules())

    def forward(self, x: Float[Tensor, "N n"], noise: Float[Tensor, "N S d"]) -> Outputs:
        """Encode the data into codes z = μ + s ε, then decode and classify these."""
        mean, log_variance = self.encoder(x).chunk(2, dim=-1)
        z = mean[:, None, :] + (0.5 * log_variance).exp()[:, None, :] * noise
        codes, each = z.flatten(0, 1), z.shape[:2]
        output, logits = self.decoder(codes).flatten(1), self.classifier(codes)
        return Outputs(mean, log_variance, z, output.unflatten(0, each), logits.unflatten(0, each))


@contextmanager
def counting(networks: nn.Module) -> Iterator[list[int]]:
    """Record the size of the output of each call of a module without submodules."""
    counts: list[int] = []

    def hook(_: nn.Module, inputs: object, output: object) -> None:
        counts.append(output.numel() if isinstance(output, Tensor) else 0)

    handles = [m.register_forward_hook(hook) for m in networks.modules() if next(m.children(), None) is None]
    try:
        yield counts
    finally:
        for handle in handles:
            handle.remove()


def refuse_no_function(networks: nn.Module) -> None:
    """Raise a UserError that names a module, if any, that makes J no function of θ or no sum over data.

    Randomness inside a module's own code cannot be seen here; `FreeEnergy.require_deterministic` finds it.
    """
    for path, module in networks.named_modules():
        reason = _no_function(module)
        if reason is not None:
            raise UserError(f"networks.{path} ({type(module).__name__}): {reason}")


def _no_function(module: nn.Module) -> str | None:
    """Why a module is refused and what to use instead; None if it is accepted."""
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
    """Whether a module draws at random at each call."""
    if isinstance(module, nn.FractionalMaxPool2d | nn.FractionalMaxPool3d):
        return True
    if not module.training:
        return False
    if isinstance(module, _DropoutNd):
        return module.p > 0
    if isinstance(module, nn.RReLU):
        return module.lower != module.upper
    return isinstance(module, nn.MultiheadAttention | nn.RNNBase) and module.dropout > 0


class Start(NamedTuple):
    """Initial value mean + scale ε of a parameter, with ε standard normal."""

    mean: Tensor | float
    scale: float


@dataclass(frozen=True)
class Layout:
    """Where each named parameter lies in θ.

    Attributes:
        starts: Initial values of the parameters, not their offsets.
    """

    names: tuple[str, ...]
    shapes: tuple[torch.Size, ...]
    starts: tuple[Start, ...]

    @classmethod
    def of(cls, module: nn.Module) -> Layout:
        """The layout of a module's trainable parameters, in its order; UserError if one is lazy or not real."""
        named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
        for name, parameter in named:
            if is_lazy(parameter):
                raise UserError(f"networks.{name}: has no shape yet; call the module once before it is passed")
            if not parameter.is_floating_point():
                raise UserError(f"networks.{name}: holds {parameter.dtype}, and theta is real; expected real numbers")
        starts = tuple(_start(module, name, p) for name, p in named)
        return cls(tuple(name for name, _ in named), tuple(p.shape for _, p in named), starts)

    @property
    def size(self) -> int:
        """Number of parameters."""
        return sum(shape.numel() for shape in self.shapes)

    def unflatten(self, theta: Vector) -> dict[str, Tensor]:
        """Views into θ by parameter name, as `torch.func.functional_call` takes them."""
        pieces = theta.split([shape.numel() for shape in self.shapes])
        return {name: piece.view(shape) for name, piece, shape in zip(self.names, pieces, self.shapes)}

    def initial(self, generator: torch.Generator) -> Vector:
        """Initial θ, in float64 on the CPU.

        Parameters that already have values keep them. On the meta device, weights are Glorot-normal (Glorot & Bengio
        2010), weights of norms are one, and biases are zero.
        """
        pieces = []
        for shape, start in zip(self.shapes, self.starts):
            if isinstance(start.mean, Tensor):
                pieces.append(start.mean.detach().double().cpu().flatten())
                continue
            noise = torch.randn(shape, generator=generator, dtype=torch.float64)
            pieces.append((start.mean + start.scale * noise).flatten())
        return torch.cat(pieces)


def _start(networks: nn.Module, name: str, parameter: Tensor) -> Start:
    """Initial value of a parameter of the networks."""
    if not parameter.is_meta:
        return Start(parameter, 0.0)
    path, _, leaf = name.rpartition(".")
    if leaf == "weight" and isinstance(networks.get_submodule(path), _NORMS):
        return Start(1.0, 0.0)
    if parameter.ndim < 2:
        return Start(0.0, 0.0)
    # Transposed or not, a convolution has fan-in + fan-out = (channels in + channels out) x kernel size.
    fans = sum(parameter.shape[:2]) * parameter.shape[2:].numel()
    return Start(0.0, math.sqrt(2.0 / fans))

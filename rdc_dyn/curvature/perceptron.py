"""A multilayer perceptron on a batch, with slope and curvature of its loss in every layer.

It takes a_0 to h_L by h_k = W_k ã_{k−1}, a_k = φ_k(h_k), where ã is a with a 1 appended for the bias. A loss of h_L has
the slope g_k and the curvature H_k in h_k, the weights above k held fixed:

    g_k = φ_k' ∘ W_{k+1}ᵀ g_{k+1},    H_k = φ_k' W_{k+1}ᵀ H_{k+1} W_{k+1} φ_k' + diag(φ_k'' ∘ W_{k+1}ᵀ g_{k+1}).
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import pad

from rdc_dyn.objective.architectures import ACTIVATIONS
from rdc_dyn.objective.networks import Networks


class Layer(NamedTuple):
    """A Linear layer, the names of its parameters, and the activation that follows it."""

    shape: tuple[int, int]
    weight: str
    bias: str | None
    activation: nn.Module | None

    @property
    def inputs(self) -> int:
        """Length of ã."""
        return self.shape[1] + (self.bias is not None)


class Perceptron:
    """Layers evaluated on a batch of C inputs, and a loss of their output. Layers and a_0 count from 0.

    Attributes:
        inputs: ã of each layer.
        output: h_L.
        slopes: φ' of each layer but the last.
        g: Slopes in h.
        curvature: H; of shape (C, n) where it is diagonal.
    """

    def __init__(self, layers: Sequence[Layer], parameters: dict[str, Tensor], a: Float[Tensor, "C n"]) -> None:
        self.layers, self.weights = layers, [parameters[layer.weight] for layer in layers]
        self.inputs: list[Tensor] = []
        self.slopes: list[Tensor] = []
        self._bends: list[Tensor] = []
        for layer, weight in zip(layers, self.weights):
            self.inputs.append(a if layer.bias is None else pad(a, (0, 1), value=1.0))
            self.output = a @ weight.T if layer.bias is None else torch.addmm(parameters[layer.bias], a, weight.T)
            if layer.activation is not None:
                a, slope, bend = elementwise(layer.activation, self.output)
                self.slopes.append(slope)
                self._bends.append(bend)

    def load(self, g: Float[Tensor, "C n"], curvature: Tensor) -> None:
        """Take the slope and the curvature of the loss from h_L back to every h."""
        self.g, self.curvature = [g], [curvature]
        for weight, slope, bend in zip(self.weights[:0:-1], self.slopes[::-1], self._bends[::-1]):
            g = self.g[0] @ weight
            curvature = slope[:, :, None] * _congruent(self.curvature[0], weight) * slope[:, None, :]
            curvature.diagonal(dim1=1, dim2=2).add_(bend * g)
            self.g.insert(0, slope * g)
            self.curvature.insert(0, curvature)

    def at_input(self) -> tuple[Float[Tensor, "C n"], Float[Tensor, "C n n"]]:
        """Slope and curvature of the loss in a_0."""
        return self.g[0] @ self.weights[0], _congruent(self.curvature[0], self.weights[0])

    def tangents(self, j: int | None) -> Iterator[tuple[int, Tensor, Tensor, Tensor]]:
        """k, V, M and T for each layer k after j, or after a_0; T is of shape (C, n) where it is diagonal."""
        unit = self.output.new_ones(len(self.output), self.layers[0].shape[1])
        first, t = (0, unit) if j is None else (j + 1, [*self.slopes, unit][j])
        for k in range(first, len(self.layers)):
            w, h = self.weights[k], self.curvature[k]
            v = t @ w.T if t.ndim == 3 else t[:, :, None] * w.T
            yield k, v, (v @ h if h.ndim == 3 else v * h[:, None, :]), t
            if k < len(self.slopes):
                t = v * self.slopes[k][:, None, :]


def perceptrons(networks: Networks) -> tuple[tuple[Layer, ...], ...] | None:
    """Layers of the encoder, the decoder and the classifier; None where one is none, or weights are shared."""
    names: dict[Tensor, str] = {parameter: name for name, parameter in networks.named_parameters()}
    if type(networks) is not Networks:
        return None
    found = [_layers(module, names) for module in (networks.encoder, networks.decoder, networks.classifier)]
    layers = [layer for network in found for layer in network or ()]
    distinct = {layer.weight for layer in layers} | {layer.bias for layer in layers if layer.bias}
    whole = all(found) and len(distinct) == len(names) == sum(1 + (layer.bias is not None) for layer in layers)
    return tuple(network for network in found if network) if whole else None


def _layers(module: nn.Module, names: dict[Tensor, str]) -> tuple[Layer, ...] | None:
    """The layers of a perceptron, or None for another module."""
    modules = list(module) if type(module) is nn.Sequential else [module]
    linear, activations = modules[::2], modules[1::2]
    plain = not any(m._forward_hooks or m._forward_pre_hooks for m in (module, *modules))
    if not plain or len(modules) % 2 == 0 or any(type(m) not in ACTIVATIONS.values() for m in activations):
        return None
    found = []
    for m, activation in zip(linear, [*activations, None]):
        if type(m) is not nn.Linear:
            return None
        bias = None if m.bias is None else names[m.bias]
        found.append(Layer((m.out_features, m.in_features), names[m.weight], bias, activation))
    return tuple(found)


def elementwise(f: Callable[[Tensor], Tensor], h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """f(h) with its first and second derivative, for an f that is a function of each number or a sum of such."""
    with torch.enable_grad():  # the integrator calls under no_grad
        h = h.detach().requires_grad_()
        value = f(h)
        (slope,) = torch.autograd.grad(value.sum(), h, create_graph=True)
        (bend,) = torch.autograd.grad(slope.sum(), h)
    return value.detach(), slope.detach(), bend


def _congruent(h: Tensor, w: Float[Tensor, "n m"]) -> Float[Tensor, "C m m"]:
    """Wᵀ H W; an H of shape (C, n) is diagonal."""
    if h.ndim == 2:
        return (h @ (w[:, :, None] * w[:, None, :]).flatten(1)).unflatten(1, (w.shape[1], -1))
    return (h @ w).transpose(1, 2) @ w

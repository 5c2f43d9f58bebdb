"""Inputs a and outputs h of Linear layers, and slopes (∂f/∂h)ᵀ √l'' ξ whose second moments are Gauss–Newton blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, Protocol

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from rdc_dyn.data.samples import Block, Sample
from rdc_dyn.linalg.base import Controls, Vector
from rdc_dyn.objective.amortised import Amortised
from rdc_dyn.objective.networks import Networks, Outputs


class Layer(NamedTuple):
    """Names of a Linear layer's parameters in θ."""

    weight: str
    bias: str | None


class Call(NamedTuple):
    """One call of a Linear layer.

    Attributes:
        a: Inputs, with a 1 appended if there is a bias; a row per datum, code or token, with data varying slowest.
        h: Outputs, with their graph.
    """

    layer: Layer
    a: Float[Tensor, "r n"]
    h: Tensor


class Sums(Protocol):
    """Sums over data that a `Pass` adds to."""

    @property
    def incomplete(self) -> bool:
        """Whether slopes in θ itself are wanted too, appended to those of the layers."""

    def add_inputs(self, call: Call, weights: Float[Tensor, "N"]) -> None:
        """Add the inputs of a layer."""

    def add_slopes(self, calls: Sequence[Call], slopes: Sequence[Tensor]) -> None:
        """Add (∂f/∂h)ᵀ √l'' ξ of all layers for one ξ."""


@contextmanager
def listening(networks: Networks) -> Iterator[list[Call]]:
    """Record the calls of Linear layers whose weights are parameters in θ rather than functions of parameters."""
    names: dict[Tensor, str] = {p: name for name, p in networks.named_parameters() if p.requires_grad}
    calls: list[Call] = []

    def listen(module: nn.Linear) -> RemovableHandle:
        layer = Layer(names[module.weight], None if module.bias is None else names.get(module.bias))

        def hook(_: nn.Module, inputs: tuple[Tensor], h: Tensor) -> None:
            a = inputs[0].detach().flatten(0, -2)
            calls.append(Call(layer, a if layer.bias is None else nn.functional.pad(a, (0, 1), value=1.0), h))

        return module.register_forward_hook(hook)

    linear = (module for module in networks.modules() if isinstance(module, nn.Linear))
    handles = [listen(module) for module in linear if module.weight in names]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


class Root(NamedTuple):
    """√l'' at the outputs for some data, times the square roots of their weights.

    Attributes:
        mean: Diagonal root for the divergence in μ.
        log_variance: Diagonal root for the divergence in ln s².
        output: Diagonal root for −λ log d, which is a sum over the components of the decoder output.
        logits: Factor √γ of the root for −γ log c.
        classes: c(·|z), for which l'' = diag(c) − ccᵀ = BBᵀ with B = diag(√c) − c√cᵀ.
    """

    mean: Tensor
    log_variance: Tensor
    output: Tensor
    logits: Tensor
    classes: Tensor

    def apply(self, directions: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """√l'' ξ for each output."""
        mean, log_variance, output, logits = directions
        root = self.classes.sqrt()
        logits = root * logits - self.classes * (root * logits).sum(-1, keepdim=True)
        return self.mean * mean, self.log_variance * log_variance, self.output * output, self.logits * logits

    @classmethod
    def of(cls, objective: Amortised, outputs: Outputs, sample: Sample, weights: Tensor, controls: Controls) -> Root:
        """Evaluate at given outputs; a negative multiplier (no convex loss) counts as zero, which keeps M positive."""
        lam, gamma = (controls[:2].clamp_min(0.0) / outputs.z.shape[1]).unbind()
        output = outputs.output.detach().requires_grad_()
        loss = -objective.likelihood.log_prob(sample.x[:, None, :], output).sum()
        (slope,) = torch.autograd.grad(loss, output, create_graph=True)
        (curvature,) = torch.autograd.grad(slope.sum(), output)
        each = weights[:, None]
        return cls(
            each.sqrt().expand_as(outputs.mean),
            (0.5 * each * outputs.log_variance.detach().exp()).sqrt(),
            (lam * each[..., None] * curvature.clamp_min(0.0)).sqrt(),
            (gamma * each[..., None]).sqrt(),
            outputs.logits.detach().softmax(-1),
        )


def directions(root: Root, probes: int | None, draws: torch.Generator) -> Iterator[tuple[Tensor, ...]]:
    """Yield ξ whose ξξᵀ sum to the identity for each datum: on average over `probes` signs, or exactly for None."""
    like = (root.mean, root.log_variance, root.output, root.classes)

    def signs(of: Tensor) -> Tensor:
        drawn = torch.randint(0, 2, of.shape, generator=draws, dtype=torch.int8).to(of.device)
        return (2 * drawn - 1).to(of.dtype)

    if probes is not None:
        for _ in range(probes):
            yield tuple(signs(of) * probes**-0.5 for of in like)
        return
    # One column at a time for all data, and one code at a time, since the slopes of an encoder sum over codes.
    for number, of in enumerate(like):
        for column in range(of[0].numel()):
            directions = [torch.zeros_like(other) for other in like]
            directions[number].view(len(of), -1)[:, column] = signs(of.flatten(1)[:, 0])
            yield tuple(directions)


class Pass:
    """The networks evaluated on a block of data, with the inputs and outputs of their Linear layers."""

    def __init__(self, objective: Amortised, block: Block, theta: Vector, controls: Controls) -> None:
        self._theta = theta.detach().requires_grad_()
        with torch.enable_grad():  # the integrator calls under no_grad
            sample, self.weights = _weighed(objective, block, controls[2])
            with listening(objective.networks) as self.calls:
                outputs = objective.outputs(self._theta, sample, objective.noise(block))
            self._outputs = (outputs.mean, outputs.log_variance, outputs.output, outputs.logits)
            self.root = Root.of(objective, outputs, sample, self.weights, controls)

    def add_to(self, sums: Sums, probes: int | None, draws: torch.Generator) -> None:
        """Add the block's inputs and slopes to `sums`, with directions as `directions` draws them."""
        for call in self.calls:
            sums.add_inputs(call, self.weights)
        wanted = [call.h for call in self.calls]
        if sums.incomplete:
            wanted.append(self._theta)
        for chosen in directions(self.root, probes, draws):
            found = torch.autograd.grad(
                self._outputs, wanted, self.root.apply(chosen), retain_graph=True, materialize_grads=True
            )
            sums.add_slopes(self.calls, found)


def _weighed(objective: Amortised, block: Block, position: Tensor) -> tuple[Sample, Float[Tensor, "N"]]:
    """The data of a block and their weights in J, taken as derivatives of the block's average."""
    seen: list[Sample] = []
    values = position.new_ones(block.count).requires_grad_()

    def average(_: Block, sample: Sample) -> Tensor:
        seen.append(sample)
        return sample.mean(values)

    (weights,) = torch.autograd.grad(objective.data.share(block, average, position), values)
    return seen[0], weights

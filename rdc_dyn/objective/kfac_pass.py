"""a, h and (∂f/∂h)ᵀ √l'' ξ: inputs and outputs of Linear layers, and slopes whose squares are Gauss–Newton."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, Protocol

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from rdc_dyn.linalg.base import Vector
from rdc_dyn.objective.amortised import Amortised
from rdc_dyn.objective.data import Block, Sample
from rdc_dyn.objective.graph import Controls
from rdc_dyn.objective.networks import Networks, Outputs


class Layer(NamedTuple):
    """Names of a Linear layer's parameters in θ."""

    weight: str
    bias: str | None


class Call(NamedTuple):
    """One use of a Linear layer.

    Attributes:
        layer: Which one.
        a: Inputs and 1 where there is a bias, a row for each datum, code or token; data vary slowest.
        h: Outputs, with their graph.
    """

    layer: Layer
    a: Float[Tensor, "r n"]
    h: Tensor


class Sums(Protocol):
    """What is summed over data."""

    @property
    def incomplete(self) -> bool:
        """Whether slopes in θ itself are wanted too, after those of the layers."""
        ...

    def add_inputs(self, call: Call, weights: Float[Tensor, "N"]) -> None:
        """Take the inputs of a layer."""
        ...

    def add_slopes(self, calls: Sequence[Call], slopes: Sequence[Tensor]) -> None:
        """Take (∂f/∂h)ᵀ √l'' ξ of all layers for one ξ."""
        ...


@contextmanager
def listening(networks: Networks) -> Iterator[list[Call]]:
    """Record the calls of the Linear layers whose parameters lie in θ as they are, not as functions of others."""
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
    """√l'' at the outputs of some data, times the square roots of their weights.

    Attributes:
        mean: Of the divergence in μ, diagonal.
        log_variance: Of the divergence in ln s², diagonal.
        output: Of −λ log d in the decoder output, whose components it is a sum over.
        logits: √γ of −γ log c.
        classes: c(·|z): its l'' is diag(c) − ccᵀ = BBᵀ with B = diag(√c) − c√cᵀ.
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
        """At given outputs; a negative multiplier has no convex loss and counts as zero, so that M stays positive."""
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
    """ξ whose ξξᵀ sum to the identity, for each datum and code on its own or in the mean."""
    like = (root.mean, root.log_variance, root.output, root.classes)

    def signs(of: Tensor) -> Tensor:
        drawn = torch.randint(0, 2, of.shape, generator=draws, dtype=torch.int8).to(of.device)
        return (2 * drawn - 1).to(of.dtype)

    if probes is not None:
        for _ in range(probes):
            yield tuple(signs(of) * probes**-0.5 for of in like)
        return
    # One column at a time for all data; codes one after the other, since an encoder feels the sum over them.
    for number, of in enumerate(like):
        for column in range(of[0].numel()):
            directions = [torch.zeros_like(other) for other in like]
            directions[number].view(len(of), -1)[:, column] = signs(of.flatten(1)[:, 0])
            yield tuple(directions)


class Pass:
    """The networks over some of the data, with the inputs and outputs of their layers.

    Args:
        objective: J.
        block: Which data.
        theta: θ.
        controls: (λ, γ, t).
    """

    def __init__(self, objective: Amortised, block: Block, theta: Vector, controls: Controls) -> None:
        self._theta = theta.detach().requires_grad_()
        with torch.enable_grad():  # the integrator calls under no_grad
            sample, self.weights = _weighed(objective, block, controls[2])
            with listening(objective.networks) as self.calls:
                outputs = objective.outputs(self._theta, sample, objective.noise(block))
            self._outputs = (outputs.mean, outputs.log_variance, outputs.output, outputs.logits)
            self.root = Root.of(objective, outputs, sample, self.weights, controls)

    def add_to(self, sums: Sums, probes: int | None, draws: torch.Generator) -> None:
        """Add these data to sums over data."""
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
    """The data of a block and what each of them weighs in J: the slope of their average."""
    seen: list[Sample] = []
    values = position.new_ones(block.count).requires_grad_()

    def average(_: Block, sample: Sample) -> Tensor:
        seen.append(sample)
        return sample.mean(values)

    (weights,) = torch.autograd.grad(objective.data.share(block, average, position), values)
    return seen[0], weights

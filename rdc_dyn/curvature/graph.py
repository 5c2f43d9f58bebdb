"""∇_θ J with its graph: A v, b_c and ∂²J/∂c∂c', each by one more backward pass (Pearlmutter 1994)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from rdc_dyn.linalg.base import Controls, Rows, Vector
from rdc_dyn.objective.base import Term

#: v → B v for each row v of a matrix B.
Product = Callable[[Rows], Rows]


@dataclass(frozen=True)
class First:
    """J in nats and its first derivatives, without the weight prior.

    Attributes:
        forces: ∂J/∂(λ, γ, t) at fixed θ.
    """

    value: Float[Tensor, ""]
    gradient: Vector
    forces: Float[Tensor, "3"]

    def __add__(self, other: First) -> First:
        return First(self.value + other.value, self.gradient + other.gradient, self.forces + other.forces)


def _leaves(theta: Vector, controls: Controls) -> tuple[Tensor, tuple[Tensor, ...]]:
    return theta.detach().requires_grad_(), tuple(c.detach().clone().requires_grad_() for c in controls)


def _value(terms: Sequence[Term], theta: Tensor, controls: Sequence[Tensor]) -> Tensor:
    first, *others = (term(theta, *controls) for term in terms)
    return torch.stack([first, *others]).sum() if others else first


def evaluate(terms: Sequence[Term], theta: Vector, controls: Controls) -> Float[Tensor, ""]:
    """Σ terms, without a graph."""
    with torch.no_grad():
        return _value(terms, theta, controls.unbind())


def differentiate(terms: Sequence[Term], theta: Vector, controls: Controls) -> First:
    """Σ terms and its first derivatives, without a graph for second derivatives."""
    leaf, leaves = _leaves(theta, controls)
    with torch.enable_grad():
        value = _value(terms, leaf, leaves)
        gradient, *forces = torch.autograd.grad(value, (leaf, *leaves), allow_unused=True, materialize_grads=True)
    return First(value.detach(), gradient, torch.stack(forces))


def control_hessian(terms: Sequence[Term], theta: Vector, controls: Controls) -> Float[Tensor, "3 3"]:
    """∂²(Σ terms)/∂c∂c' at fixed θ, one term at a time."""
    total = theta.new_zeros((3, 3))
    for term in terms:
        _, leaves = _leaves(theta, controls)
        with torch.enable_grad():
            value = term(theta.detach(), *leaves)
            forces = torch.autograd.grad(value, leaves, create_graph=True, allow_unused=True)
        for i, force in enumerate(forces):
            if force is not None and force.requires_grad:
                second = torch.autograd.grad(
                    force, leaves, retain_graph=True, allow_unused=True, materialize_grads=True
                )
                total[i] += torch.stack(second)
    return total


class GradientGraph:
    """First derivatives of Σ terms at one state, kept with their graph.

    With `batched` several vectors go back through the graph at once, otherwise one after another.
    """

    def __init__(self, terms: Sequence[Term], theta: Vector, controls: Controls, *, batched: bool = True) -> None:
        self._theta, self._controls = _leaves(theta, controls)
        self._batched = batched
        with torch.enable_grad():  # the integrator calls under no_grad
            value = _value(terms, self._theta, self._controls)
            self._gradient, *self._forces = torch.autograd.grad(
                value, (self._theta, *self._controls), create_graph=True, allow_unused=True
            )
        zero = theta.new_zeros(())
        forces = torch.stack([zero if f is None else f.detach() for f in self._forces])
        self.first = First(value.detach(), self._gradient.detach(), forces)

    def mm(self, rows: Rows) -> Rows:
        """A v for each row v: one batched backward pass, or one for each row."""
        return _backward(self._gradient, self._theta, rows, self._batched)

    def mixed(self) -> tuple[Rows, Float[Tensor, "3 3"]]:
        """b_c = −∂_c ∇_θ J, one row per control, and ∂²J/∂c∂c' at fixed θ."""
        rows, second = [], []
        for force in self._forces:
            grads: tuple[Tensor, ...] = tuple(torch.zeros_like(leaf) for leaf in (self._theta, *self._controls))
            if force is not None and force.requires_grad:
                grads = torch.autograd.grad(
                    force, (self._theta, *self._controls), retain_graph=True, allow_unused=True, materialize_grads=True
                )
            rows.append(-grads[0])
            second.append(torch.stack(grads[1:]))
        return torch.stack(rows), torch.stack(second)

    def drift(self, velocity: Vector, rates: Controls) -> Product:
        """Products with dA/ds = ∂³J·θ̇ + ∂_cA·ċ, each a backward pass through d∇J/ds, as θ and c move at given rates."""
        with torch.enable_grad():
            (change,) = torch.autograd.grad(self._gradient, self._theta, velocity, create_graph=True)
            for force, rate in zip(self._forces, rates):
                if force is not None and force.requires_grad and float(rate):
                    mixed = torch.autograd.grad(force, self._theta, rate, create_graph=True, allow_unused=True)[0]
                    change = change if mixed is None else change + mixed
        return partial(_backward, change, self._theta, batched=self._batched)


def _backward(output: Tensor, leaf: Tensor, rows: Rows, batched: bool) -> Rows:
    """∂(output · v)/∂leaf for each row v; zero where the output depends on no leaf."""
    if not output.requires_grad:
        return torch.zeros_like(rows)
    each = (rows,) if batched else rows.split(1)
    return torch.cat([pulled_back((output,), (leaf,), (part,))[0] for part in each])


def pulled_back(
    outputs: tuple[Tensor, ...], leaves: tuple[Tensor, ...], directions: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    """∂(Σ outputs · direction)/∂leaves for several directions, stacked along their first dimension."""
    batched = directions[0].shape[0] > 1
    found = torch.autograd.grad(
        outputs,
        leaves,
        directions if batched else tuple(d[0] for d in directions),
        retain_graph=True,
        is_grads_batched=batched,
        allow_unused=True,
        materialize_grads=True,
    )
    return found if batched else tuple(f[None] for f in found)

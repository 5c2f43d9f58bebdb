"""J = Σ_blocks J_block, with derivatives from one kept graph, or block by block from graphs that are rebuilt."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from rdc_dyn.curvature.graph import First, GradientGraph, Product, differentiate, evaluate
from rdc_dyn.curvature.hessian import Hessian
from rdc_dyn.linalg.base import Controls, Rows, Vector
from rdc_dyn.objective.base import Term


class Second(Protocol):
    """Second derivatives of J at one state, without the weight prior."""

    @property
    def first(self) -> First:
        """J and its first derivatives at this state."""

    def mm(self, rows: Rows) -> Rows:
        """∂²J/∂θ² v for each row v."""

    def mixed(self) -> tuple[Rows, Float[Tensor, "3 3"]]:
        """b_c = −∂_c ∇_θ J and ∂²J/∂c∂c'."""

    def dense(self, dtype: torch.dtype | None = None) -> Float[Tensor, "P P"] | None:
        """∂²J/∂θ² where it has a closed form, computed in `dtype` or that of θ, else None."""

    def drift(self, velocity: Vector, rates: Controls) -> Product:
        """Products with d/ds ∂²J/∂θ² for θ and controls moving at given rates."""


class Total(Protocol):
    """J without the weight prior, wherever its terms are evaluated."""

    def value(self, theta: Vector, controls: Controls) -> Float[Tensor, ""]:
        """J."""

    def gradient(self, theta: Vector, controls: Controls) -> First:
        """J and its first derivatives."""

    def linearise(self, theta: Vector, controls: Controls) -> Second:
        """Second derivatives at one state."""


@dataclass(frozen=True)
class Local:
    """J on this process.

    If `kept`, one graph of ∇J holds all terms, and a product is one backward pass; otherwise each product rebuilds the
    graphs of the terms in turn, and memory holds one of them at a time.

    Attributes:
        terms: Summands of J, one for each block of data.
        width: Most vectors in one product.
        batched: Whether they go through a graph at once, each taking the memory of a backward pass, or one by one.
    """

    terms: tuple[Term, ...]
    kept: bool = True
    width: int = 64
    batched: bool = True

    def value(self, theta: Vector, controls: Controls) -> Float[Tensor, ""]:
        """J, evaluated term by term."""
        return torch.stack([evaluate((term,), theta, controls) for term in self.terms]).sum()

    def gradient(self, theta: Vector, controls: Controls) -> First:
        """J and its first derivatives, term by term unless one graph is kept."""
        groups = (self.terms,) if self.kept else tuple((term,) for term in self.terms)
        first = differentiate(groups[0], theta, controls)
        for group in groups[1:]:
            first = first + differentiate(group, theta, controls)
        return first

    def linearise(self, theta: Vector, controls: Controls) -> LocalSecond:
        """Second derivatives at one state."""
        return LocalSecond(self, theta, controls)


class LocalSecond:
    """Second derivatives of a `Local` J at one state."""

    def __init__(self, total: Local, theta: Vector, controls: Controls) -> None:
        self._total, self._theta, self._controls = total, theta, controls
        self._kept = self._graph(total.terms) if total.kept else None
        self.first = total.gradient(theta, controls) if self._kept is None else self._kept.first

    def _graph(self, terms: tuple[Term, ...]) -> GradientGraph:
        return GradientGraph(terms, self._theta, self._controls, batched=self._total.batched)

    def _graphs(self) -> Iterator[GradientGraph]:
        if self._kept is not None:
            yield self._kept
            return
        for term in self._total.terms:
            yield self._graph((term,))

    def mm(self, rows: Rows) -> Rows:
        """∂²J/∂θ² v for each row v."""
        return self._chunked(lambda part: _sum(graph.mm(part) for graph in self._graphs()), rows)

    def dense(self, dtype: torch.dtype | None = None) -> Float[Tensor, "P P"] | None:
        """∂²J/∂θ² in closed form, or None."""
        hessian = Hessian.of(self._total.terms)
        return None if hessian is None else hessian.at(self._theta, self._controls, dtype)

    def mixed(self) -> tuple[Rows, Float[Tensor, "3 3"]]:
        """b_c = −∂_c ∇_θ J and ∂²J/∂c∂c'."""
        rows, second = zip(*(graph.mixed() for graph in self._graphs()))
        return _sum(iter(rows)), _sum(iter(second))

    def drift(self, velocity: Vector, rates: Controls) -> Product:
        """Products with d/ds ∂²J/∂θ², to which the weight prior contributes nothing."""
        kept = None if self._kept is None else self._kept.drift(velocity, rates)

        def product(rows: Rows) -> Rows:
            if kept is not None:
                return kept(rows)
            return _sum(graph.drift(velocity, rates)(rows) for graph in self._graphs())

        return lambda rows: self._chunked(product, rows)

    def _chunked(self, product: Product, rows: Rows) -> Rows:
        if rows.shape[0] <= self._total.width:
            return product(rows)
        return torch.cat([product(part) for part in rows.split(self._total.width)])


def _sum(parts: Iterator[Tensor]) -> Tensor:
    total = next(parts)
    for part in parts:
        total = total + part
    return total

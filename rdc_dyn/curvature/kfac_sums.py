"""The sums over data behind a Kronecker approximation: Σ w aaᵀ and Σ ggᵀ of each layer, Σ ccᵀ across layers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from rdc_dyn.curvature.kfac_pass import Call, Layer
from rdc_dyn.linalg.base import Vector
from rdc_dyn.linalg.kronecker import Block, Kronecker
from rdc_dyn.objective.networks import Layout


class Moments:
    """Sums over data: Σ w aaᵀ, Σ w and Σ ggᵀ of each layer, and (Σ g)² of each parameter outside the layers."""

    def __init__(self, theta: Vector, layout: Layout) -> None:
        self._places = layout.unflatten(torch.arange(layout.size, device=theta.device))
        self._a: dict[Layer, Tensor] = {}
        self._g: dict[Layer, Tensor] = {}
        self._mass: dict[Layer, float] = {}
        self._squares = torch.zeros_like(theta)

    @property
    def incomplete(self) -> bool:
        """Whether some parameters belong to no recorded layer."""
        return bool(self._rest)

    @property
    def _rest(self) -> set[str]:
        return set(self._places) - {name for layer in self._a for name in layer if name is not None}

    def add_inputs(self, call: Call, weights: Float[Tensor, "N"]) -> None:
        """Add Σ w aaᵀ and Σ w; the codes of a datum share its weight."""
        each = len(call.a) // len(weights)
        moment = call.a.T @ (call.a * (weights / each).repeat_interleave(each)[:, None])
        self._a[call.layer] = self._a.get(call.layer, 0.0) + moment
        self._mass[call.layer] = self._mass.get(call.layer, 0.0) + float(weights.sum())

    def add_slopes(self, calls: Sequence[Call], slopes: Sequence[Tensor]) -> None:
        """Add Σ ggᵀ, where g already contains √w."""
        for call, g in zip(calls, slopes):
            rows = g.flatten(0, -2)
            self._g[call.layer] = self._g.get(call.layer, 0.0) + rows.T @ rows
        if self.incomplete:
            self._squares += slopes[-1].square()

    @property
    def layers(self) -> list[Layer]:
        """The recorded layers, in the order of the blocks."""
        return list(self._a)

    def factors(self, shift: float) -> Kronecker:
        """The Kronecker approximation, with `shift` times the identity added."""
        blocks = []
        for layer, a in self._a.items():
            places = self._places[layer.weight]
            if layer.bias is not None:
                places = torch.cat([places, self._places[layer.bias][:, None]], dim=1)
            blocks.append(Block.of(places, self._g[layer], a / self._mass[layer]))
        diagonal = torch.zeros_like(self._squares)
        for name in self._rest:
            # A few random directions estimate the mean of a tensor far better than each of its entries.
            diagonal[self._places[name]] = self._squares[self._places[name]].mean()
        return Kronecker(blocks, diagonal, shift)


class Coupling:
    """Σ ccᵀ over data, with c = LᵀgaᵀR the slopes of a datum in the coordinates where the factors are largest."""

    incomplete = False

    def __init__(self, factors: Kronecker, layers: Sequence[Layer], rank: int) -> None:
        self.rank = min(rank, len(factors.spectrum))
        self.chosen = factors.spectrum.topk(self.rank).indices.sort().values
        self.matrix = factors.diagonal.new_zeros((self.rank, self.rank))
        self._parts: dict[Layer, tuple[Block, Tensor, Tensor, Tensor]] = {}
        start = 0
        for layer, block in zip(layers, factors.blocks):
            m, n = block.places.shape
            mine = ((self.chosen >= start) & (self.chosen < start + m * n)).nonzero()[:, 0]
            local = self.chosen[mine] - start
            self._parts[layer] = (block, mine, local // n, local % n)
            start += m * n

    def add_inputs(self, call: Call, weights: Tensor) -> None:
        """Note only the number of data: the inputs come again with their slopes."""
        self._count = len(weights)

    def add_slopes(self, calls: Sequence[Call], slopes: Sequence[Tensor]) -> None:
        """Add Σ ccᵀ, where c sums over the codes of a datum."""
        c = self.matrix.new_zeros((self._count, self.rank))
        for call, g in zip(calls, slopes):
            block, mine, i, j = self._parts[call.layer]
            each = (g.flatten(0, -2) @ block.left[:, i]) * (call.a @ block.right[:, j])
            c[:, mine] += each.unflatten(0, (self._count, -1)).sum(1)
        self.matrix += c.T @ c

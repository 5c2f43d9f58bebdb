"""J = Σ_r J_r and its derivatives, where each process evaluates its share of the data and all get the sum."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from rdc_dyn.curvature.graph import First
from rdc_dyn.curvature.sum_over_data import Products, Second, Total
from rdc_dyn.distributed.group import Group
from rdc_dyn.linalg.base import Controls, Rows, Vector

P = TypeVar("P", bound=Products)


@dataclass(frozen=True)
class Distributed:
    """J over all processes of a group; satisfies `Total`.

    Attributes:
        share: J over this process's share of the data.
    """

    group: Group
    share: Total

    def value(self, theta: Vector, controls: Controls) -> Float[Tensor, ""]:
        """J."""
        return self.group.sum(lambda: [self.share.value(theta, controls)], theta, controls)[0]

    def gradient(self, theta: Vector, controls: Controls) -> First:
        """J and its first derivatives."""
        return First(*self.group.sum(lambda: _parts(self.share.gradient(theta, controls)), theta, controls))

    def linearise(self, theta: Vector, controls: Controls) -> DistributedSecond:
        """Second derivatives at one state."""
        return DistributedSecond(self, theta, controls)


class DistributedProducts(Generic[P]):
    """A matrix, such as a drift dA/ds, of which each process makes its share when it is first needed."""

    def __init__(self, group: Group, make: Callable[[], P]) -> None:
        self._group, self._make = group, make

    @cached_property
    def _share(self) -> P:
        return self._make()

    def mm(self, rows: Rows) -> Rows:
        """The product with each row."""
        return self._group.sum(lambda: [self._share.mm(rows)], rows)[0]


class DistributedSecond(DistributedProducts[Second]):
    """Second derivatives of a `Distributed` J at one state; satisfies `Second`."""

    def __init__(self, total: Distributed, theta: Vector, controls: Controls) -> None:
        super().__init__(total.group, lambda: total.share.linearise(theta, controls))
        self.first = First(*total.group.sum(lambda: _parts(self._share.first), theta, controls))

    def mixed(self) -> tuple[Rows, Float[Tensor, "3 3"]]:
        """b_c = −∂_c ∇_θ J and ∂²J/∂c∂c'."""
        rows, second = self._group.sum(self._share.mixed)
        return rows, second

    def dense(self, dtype: torch.dtype | None = None) -> Float[Tensor, "P P"] | None:
        """∂²J/∂θ² where it has a closed form, else None."""

        def share() -> list[Tensor]:
            matrix = self._share.dense(dtype)
            return [self.first.gradient.new_zeros(0) if matrix is None else matrix]

        (matrix,) = self._group.sum(share)
        return matrix if matrix.numel() else None

    def drift(self, velocity: Vector, rates: Controls) -> DistributedProducts[Products]:
        """d/ds ∂²J/∂θ² for θ and controls that move at the given rates."""
        return DistributedProducts(self._group, lambda: self._share.drift(velocity, rates))


def _parts(first: First) -> tuple[Tensor, Tensor, Tensor]:
    return first.value, first.gradient, first.forces

"""J = Σ_r J_r and its derivatives on process 0 of several, each of which evaluates its share of the data."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from rdc_dyn.curvature.graph import First
from rdc_dyn.distributed.local_share import Command, first_of, flat
from rdc_dyn.distributed.team import Team
from rdc_dyn.linalg.base import Controls, Rows, Vector


@dataclass(frozen=True)
class Distributed:
    """J over all processes, on process 0; satisfies `Total`.

    Attributes:
        number: Index of this J among the totals of each process's `Share`.
    """

    team: Team
    number: int = 0

    def value(self, theta: Vector, controls: Controls) -> Float[Tensor, ""]:
        """J."""
        return self.team.ask(Command.VALUE, flat(theta, controls), total=self.number)[0]

    def gradient(self, theta: Vector, controls: Controls) -> First:
        """J and its first derivatives."""
        return first_of(self.team.ask(Command.GRADIENT, flat(theta, controls), total=self.number))

    def linearise(self, theta: Vector, controls: Controls) -> DistributedSecond:
        """Second derivatives at one state; all processes keep their part until the result is released here."""
        return DistributedSecond(self, theta, controls)


class DistributedProducts:
    """A matrix, such as a drift dA/ds, of which each process keeps its share under the number `key`."""

    def __init__(self, team: Team) -> None:
        self.team, self.key = team, team.keep(self)

    def mm(self, rows: Rows) -> Rows:
        """The product with each row."""
        return self.team.ask(Command.MM, flat(rows), key=self.key, rows=rows.shape[0]).view_as(rows)


class DistributedSecond(DistributedProducts):
    """Second derivatives of a `Distributed` J at one state; satisfies `Second`."""

    def __init__(self, total: Distributed, theta: Vector, controls: Controls) -> None:
        super().__init__(total.team)
        point = flat(theta, controls)
        self.first = first_of(self.team.ask(Command.LINEARISE, point, total=total.number, key=self.key))

    def mixed(self) -> tuple[Rows, Float[Tensor, "3 3"]]:
        """b_c = −∂_c ∇_θ J and ∂²J/∂c∂c'."""
        answer = self.team.ask(Command.MIXED, self.first.value.new_zeros(0), key=self.key)
        return answer[:-9].view(3, -1), answer[-9:].view(3, 3)

    def dense(self) -> Float[Tensor, "P P"] | None:
        """∂²J/∂θ² where it has a closed form, else None."""
        answer = self.team.ask(Command.DENSE, self.first.value.new_zeros(0), key=self.key)
        return answer.view(len(self.first.gradient), -1) if answer.numel() else None

    def drift(self, velocity: Vector, rates: Controls) -> DistributedProducts:
        """d/ds ∂²J/∂θ² for θ and controls that move at the given rates."""
        drift = DistributedProducts(self.team)
        self.team.ask(Command.DRIFT, flat(velocity, rates), key=drift.key, origin=self.key)
        return drift

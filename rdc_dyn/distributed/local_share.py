"""One process's share of J, evaluated in answer to commands of a fixed form."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from enum import IntEnum

import torch
from torch import Tensor

from rdc_dyn.curvature.graph import First
from rdc_dyn.curvature.sum_over_data import Products, Second, Total
from rdc_dyn.linalg.base import Controls, Vector

#: Keys to release that fit into the head of a command; a command creates at most one key, so none pile up.
RELEASES = 8


class Command(IntEnum):
    """What process 0 can ask for."""

    STOP = 0
    VALUE = 1
    GRADIENT = 2
    LINEARISE = 3
    DRIFT = 4
    MIXED = 5
    MM = 6
    DENSE = 7


@dataclass(frozen=True)
class Order:
    """The head of a command, all integers.

    Attributes:
        total: Index of the J to evaluate.
        key: Key of the linearisation or drift to create, or to multiply with.
        origin: Key of the linearisation that a drift is made from.
        length: Numbers in the payload: θ and controls, velocity and rates, or rows.
        rows: Rows in the payload.
    """

    command: Command
    total: int = 0
    key: int = 0
    origin: int = 0
    length: int = 0
    rows: int = 0

    def encode(self, released: list[int]) -> Tensor:
        """The order as a tensor of fixed length, with at most `RELEASES` keys that may be released."""
        return torch.tensor([*astuple(self), *released, *[0] * (RELEASES - len(released))])

    @classmethod
    def decode(cls, head: Tensor) -> tuple[Order, list[int]]:
        """The order, and the keys that may be released."""
        command, *numbers = head.tolist()
        return cls(Command(command), *numbers[:-RELEASES]), [key for key in numbers[-RELEASES:] if key]


HEAD_LENGTH = len(Order(Command.STOP).encode([]))


class Share:
    """One process's share of J, with the linearisations still in use, which have the same keys on every process.

    `totals` holds J over this share of the data and, if A is taken from a subset, J over this process's share of that.

    Attributes:
        seconds: Linearisations by key.
        products: Linearisations and drifts by key.
    """

    def __init__(self, totals: tuple[Total, ...]) -> None:
        self._totals = totals
        self.seconds: dict[int, Second] = {}
        self.products: dict[int, Products] = {}

    def answer(self, order: Order, payload: Tensor) -> Tensor:
        """This share of the answer: a new flat tensor to sum over the processes, empty if there is nothing to sum."""
        total, key = self._totals[order.total], order.key
        match order.command:
            case Command.VALUE:
                return flat(total.value(*_point(payload)))
            case Command.GRADIENT:
                return flat_first(total.gradient(*_point(payload)))
            case Command.LINEARISE:
                self.products[key] = self.seconds[key] = total.linearise(*_point(payload))
                return flat_first(self.seconds[key].first)
            case Command.DRIFT:
                self.products[key] = self.seconds[order.origin].drift(*_point(payload))
            case Command.MIXED:
                return flat(*self.seconds[key].mixed())
            case Command.DENSE:
                matrix = self.seconds[key].dense()
                return payload.new_zeros(0) if matrix is None else flat(matrix)
            case Command.MM:
                return flat(self.products[key].mm(payload.view(order.rows, -1)))
        return payload.new_zeros(0)

    def release(self, key: int) -> None:
        """Forget a linearisation or a drift."""
        self.seconds.pop(key, None)
        self.products.pop(key, None)


def flat(*parts: Tensor) -> Tensor:
    """The parts flattened and concatenated, as a copy that can be overwritten."""
    return torch.cat([part.detach().reshape(-1) for part in parts])


def _point(payload: Tensor) -> tuple[Vector, Controls]:
    """Split a payload into θ and controls, or into their velocities."""
    return payload[:-3], payload[-3:]


def flat_first(first: First) -> Tensor:
    """J and its first derivatives, flattened and concatenated."""
    return flat(first.value, first.gradient, first.forces)


def first_of(numbers: Tensor) -> First:
    """The inverse of `flat_first`."""
    return First(numbers[0], numbers[1:-3], numbers[-3:])

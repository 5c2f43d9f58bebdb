"""Process 0 says what to evaluate and where; every process evaluates its share, and one sum adds up the shares."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from rdc_dyn.distributed.group import Group
from rdc_dyn.distributed.local_share import HEAD_LENGTH, RELEASES, Command, Order, Share
from rdc_dyn.linalg.base import Vector
from rdc_dyn.status import UserError

T = TypeVar("T")


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """How a program ended on process 0: with a value, with a user's mistake, or with neither after any other error."""

    value: T | None = None
    mistake: UserError | None = None


class Team:
    """The processes at work: process 0 commands, the others serve."""

    def __init__(self, group: Group, share: Share, like: Vector) -> None:
        self.group, self.share, self._like = group, share, like
        self._keys, self._released = count(1), deque[int]()

    def lead(self, program: Callable[[], T]) -> T:
        """Run a program on process 0, with the others at its service; it ends in the same way everywhere.

        Every process gets the value of the program, which must not be None, or its UserError. After any other error on
        process 0, which reports it, the others raise SystemExit.
        """
        with self.group.guarded():
            if not self.group.leads:
                return self._followed(self.serve())
            outcome: Outcome[T] = Outcome()
            try:
                outcome = Outcome(program())
            except UserError as mistake:
                outcome = Outcome(mistake=mistake)
                raise
            finally:
                self._stop(outcome)
            return self._followed(outcome)

    def serve(self) -> Outcome[Any]:
        """Evaluate what process 0 asks for until it says stop; return how its program ended."""
        head = torch.zeros(HEAD_LENGTH, dtype=torch.int64)
        while True:
            self.group.broadcast(head)
            order, released = Order.decode(head)
            for key in released:
                self.share.release(key)
            if order.command is Command.STOP:
                return self.group.from_leader(Outcome())
            self._carry_out(order, self._like.new_empty(order.length))

    def ask(
        self, command: Command, payload: Tensor, *, total: int = 0, key: int = 0, origin: int = 0, rows: int = 0
    ) -> Tensor:
        """On process 0, send a command (see `Order`) with a flat payload and return the flat sum of all answers."""
        order = Order(command, total, key, origin, payload.numel(), rows)
        with self.group.exchange.whole():
            self._announce(order)
            return self._carry_out(order, payload)

    def keep(self, owner: object) -> int:
        """A new key for what all processes keep as long as `owner` lives on process 0."""
        key = next(self._keys)
        # A finaliser may run at any moment, so it only queues the key, which is sent along with a later command.
        weakref.finalize(owner, self._release, key).atexit = False
        return key

    def _release(self, key: int) -> None:
        self.share.release(key)
        self._released.append(key)

    def _announce(self, order: Order) -> None:
        released = [self._released.popleft() for _ in range(min(RELEASES, len(self._released)))]
        self.group.broadcast(order.encode(released))

    def _carry_out(self, order: Order, payload: Tensor) -> Tensor:
        if order.length:
            self.group.broadcast(payload)
        answer = self.share.answer(order, payload)
        if answer.numel():
            self.group.add(answer)
        return answer

    def _stop(self, outcome: Outcome[T]) -> None:
        if self.group.exchange.open:
            return  # an exchange was cut short: the others would misread a stop, and notice when this process ends
        with self.group.exchange.whole():
            self._announce(Order(Command.STOP))
            self.group.from_leader(outcome)

    @staticmethod
    def _followed(outcome: Outcome[T]) -> T:
        if outcome.mistake is not None:
            raise outcome.mistake
        if outcome.value is None:
            raise SystemExit(1)
        return outcome.value

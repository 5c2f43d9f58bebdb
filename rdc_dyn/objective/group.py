"""Processes 0 … W−1 of one run, as torchrun starts them: broadcasts, sums, and signals that cut no exchange in two."""

from __future__ import annotations

import atexit
import importlib
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from types import FrameType
from typing import Any, Literal, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from rdc_dyn.status import UserError

T = TypeVar("T")

#: A process that has died is noticed at once, since its connections close. This is for a machine that has vanished, and
#: it is long because the others wait while process 0 does what needs no data: factorise, or draw minibatches for Adam.
TIMEOUT = timedelta(hours=1)
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass
class Exchange:
    """Whether process 0 is between the first and the last message of an exchange.

    Attributes:
        open: It is, or an exception has left it there for good: then nothing more can be said.
        held: Signal that came meanwhile, or None.
    """

    open: bool = False
    held: int | None = None

    @contextmanager
    def whole(self) -> Iterator[None]:
        """An exchange that signals do not cut in two: they are handled when it is over."""
        self.open = True
        yield
        self.open = False
        if self.held is not None:
            number, self.held = self.held, None
            signal.raise_signal(number)

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Let exchanges hold back the signals that have a handler in Python."""
        previous = {number: signal.getsignal(number) for number in _SIGNALS}

        def handle(number: int, frame: FrameType | None) -> None:
            if self.open:
                self.held = number
                return
            handler = previous[signal.Signals(number)]
            assert callable(handler)
            handler(number, frame)

        with _handlers({number: handle for number, handler in previous.items() if callable(handler)}):
            yield


@contextmanager
def _handlers(handlers: dict[signal.Signals, Any]) -> Iterator[None]:
    """Set signal handlers for a while; only a main thread can, and only there do they matter."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def _connected() -> Iterator[None]:
    """A process that is gone is one line, not a traceback."""
    try:
        yield
    except RuntimeError as error:
        reason = str(error).split(". ")[0].strip().split("\n")[0].rsplit("] ", 1)[-1]
        raise UserError(f"the processes of this run have lost each other, one may have died ({reason})", 4) from None


@dataclass(frozen=True)
class Group:
    """This process among those of a run.

    Attributes:
        rank: Its number; process 0 decides, writes and speaks.
        world: How many there are.
        local_rank: Its number on this machine.
        local_world: How many there are on this machine.
        own_gpu: Whether each process can have a GPU of its own, which nccl needs.
        exchange: Whether an exchange is under way.
    """

    rank: int
    world: int
    local_rank: int = 0
    local_world: int = 1
    own_gpu: bool = False
    exchange: Exchange = field(default_factory=Exchange)

    @property
    def leads(self) -> bool:
        """Whether this is process 0."""
        return self.rank == 0

    def backend(self, device: torch.device) -> Literal["gloo", "nccl"]:
        """What carries tensors of a device."""
        return "nccl" if device.type == "cuda" and self.own_gpu else "gloo"

    def sharers(self, device: torch.device) -> int:
        """How many processes share the memory of a device."""
        return 1 if self.backend(device) == "nccl" else self.local_world

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """For a run: process 0 takes signals between exchanges, the others leave them to it and wait for its word."""
        deaf = _handlers(dict.fromkeys(_SIGNALS, signal.SIG_IGN))
        with self.exchange.guarded() if self.leads else deaf:
            yield

    def broadcast(self, tensor: Tensor) -> None:
        """Overwrite a tensor by that of process 0.

        Args:
            tensor: Contiguous, of the same shape everywhere.
        """
        with _connected():
            dist.broadcast(tensor, 0)

    def add(self, tensor: Tensor) -> None:
        """Overwrite a tensor by the sum over all processes.

        Args:
            tensor: Contiguous, of the same shape everywhere.
        """
        with _connected():
            dist.all_reduce(tensor)

    def from_leader(self, own: T) -> T:
        """What process 0 gives, pickled."""
        objects = [own]
        with _connected():
            dist.broadcast_object_list(objects, 0)
        return objects[0]

    def from_all(self, own: T) -> list[T]:
        """What every process gives, pickled, in the order of their numbers."""
        objects = [own] * self.world
        with _connected():
            dist.all_gather_object(objects, own)
        return objects


def several() -> bool:
    """Whether torchrun says that this process is one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def join() -> Group | None:
    """Meet the other processes that torchrun has started; once met, they stay together until they end.

    Short messages go over gloo even where tensors go over nccl: a process that waits for one notices at once that its
    sender has died, and takes no time on a GPU.

    Returns:
        The group, or None for a single process.
    """
    if not several():
        return None
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    local_rank, local_world = int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
    own_gpu = dist.is_nccl_available() and torch.cuda.is_available() and torch.cuda.device_count() >= local_world
    if not dist.is_initialized():
        # Defaults of its functions are the group at its import. Imported on the way, it would keep the group alive, and
        # with it gloo's threads, which abort where they let go of a tensor while the interpreter ends.
        importlib.import_module("torch.distributed.nn.functional")
        with _connected():
            dist.init_process_group("cpu:gloo,cuda:nccl" if own_gpu else "gloo", timeout=TIMEOUT)
        atexit.register(_leave)
    return Group(rank, world, local_rank, local_world, own_gpu)


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()

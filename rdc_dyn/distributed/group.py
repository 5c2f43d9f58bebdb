"""Processes 0 … W−1 of one run, started by torchrun: broadcasts, sums, and signals that never interrupt an exchange."""

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

#: A process that dies is noticed at once, since its connections close; this is for a machine that vanishes. It is long
#: because the others wait while process 0 does work that needs no data: factorising, or drawing minibatches for Adam.
TIMEOUT = timedelta(hours=1)
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass
class Exchange:
    """Whether process 0 is between the first and the last message of an exchange.

    Attributes:
        open: True also after an exception has broken an exchange off; then nothing more can be sent.
        held: Signal that arrived during the exchange, or None.
    """

    open: bool = False
    held: int | None = None

    @contextmanager
    def whole(self) -> Iterator[None]:
        """An exchange that signals do not interrupt; they are handled when it is over."""
        self.open = True
        yield
        self.open = False
        if self.held is not None:
            number, self.held = self.held, None
            handler = signal.getsignal(number)
            assert callable(handler)
            handler(number, None)

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
    """Set signal handlers temporarily, in the main thread only: no other thread can set or receive them."""
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
    """Report a lost process as a UserError of one line, not as a traceback."""
    try:
        yield
    except RuntimeError as error:
        reason = str(error).split(". ")[0].strip().split("\n")[0].rsplit("] ", 1)[-1]
        raise UserError(f"the processes of this run have lost each other, one may have died ({reason})", 4) from None


@dataclass(frozen=True)
class Group:
    """This process among those of a run.

    Attributes:
        rank: Number of this process; process 0 decides, writes and prints.
        world: Number of processes.
        local_rank: Number of this process on its machine.
        local_world: Number of processes on this machine.
        own_gpu: Whether each process can have a GPU of its own, which nccl requires.
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
        """The backend that carries tensors of a device."""
        return "nccl" if device.type == "cuda" and self.own_gpu else "gloo"

    def sharers(self, device: torch.device) -> int:
        """Number of processes that share the memory of a device."""
        return 1 if self.backend(device) == "nccl" else self.local_world

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """During a run, process 0 handles signals between exchanges; the others ignore them and obey process 0."""
        deaf = _handlers(dict.fromkeys(_SIGNALS, signal.SIG_IGN))
        with self.exchange.guarded() if self.leads else deaf:
            yield

    def broadcast(self, tensor: Tensor) -> None:
        """Overwrite a tensor with that of process 0; it must be contiguous and of the same shape everywhere."""
        with _connected():
            dist.broadcast(tensor, 0)

    def add(self, tensor: Tensor) -> None:
        """Overwrite a tensor with its sum over processes; it must be contiguous and of the same shape everywhere."""
        with _connected():
            dist.all_reduce(tensor)

    def from_leader(self, own: T) -> T:
        """The object that process 0 passes, sent as a pickle."""
        objects = [own]
        with _connected():
            dist.broadcast_object_list(objects, 0)
        return objects[0]

    def from_all(self, own: T) -> list[T]:
        """The objects that all processes pass, sent as pickles and ordered by rank."""
        objects = [own] * self.world
        with _connected():
            dist.all_gather_object(objects, own)
        return objects


def several() -> bool:
    """Whether torchrun has started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def join() -> Group | None:
    """Join the other processes that torchrun has started, for the rest of their lives; None for a single process.

    Short messages use gloo even where tensors use nccl: a process that waits for one notices at once that its sender
    has died, and takes no time on a GPU.
    """
    if not several():
        return None
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    local_rank, local_world = int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
    own_gpu = dist.is_nccl_available() and torch.cuda.is_available() and torch.cuda.device_count() >= local_world
    if not dist.is_initialized():
        # The functions of this module take the group that exists at its import as a default. Imported later, it would
        # keep the group alive, and with it gloo's threads, which abort if they free a tensor at interpreter exit.
        importlib.import_module("torch.distributed.nn.functional")
        with _connected():
            dist.init_process_group("cpu:gloo,cuda:nccl" if own_gpu else "gloo", timeout=TIMEOUT)
        atexit.register(_leave)
    return Group(rank, world, local_rank, local_world, own_gpu)


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()

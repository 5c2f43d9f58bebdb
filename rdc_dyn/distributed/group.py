"""Processes 0 … W−1 of one run, started by torchrun: all compute the same, and all end as process 0 does."""

import atexit
import gc
import importlib
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from rdc_dyn.linalg.base import allocating
from rdc_dyn.status import Diverged, UserError

T = TypeVar("T")

#: A process that dies is noticed at once, since its connections close; this is for a machine that vanishes.
TIMEOUT = timedelta(hours=1)


class Ended(BaseException):
    """Another process has ended, and this one is to end with it; nothing on the way up handles this."""


class Lost(UserError):  # noqa: N818  # a state, like the rest of its kind
    """The connection to another process is closed, and nothing more can be sent."""


@contextmanager
def _connected() -> Iterator[None]:
    """Report a lost process in one line, not as a traceback."""
    try:
        yield
    except RuntimeError as error:
        reason = str(error).split(". ")[0].strip().split("\n")[0].rsplit("] ", 1)[-1]
        raise Lost(f"the processes of this run have lost each other, one may have died ({reason})", 4) from None


@dataclass
class Group:
    """This process among those of a run.

    All compute the same, and meet wherever a sum over data is due. A short message tells them first whether all are
    still there, have their shares and started from the same numbers, so that none waits for what does not come.

    Attributes:
        rank: Number of this process; process 0 alone writes and prints, heeds signals and looks at the clock.
        world: Number of processes.
        local_rank: Number of this process on its machine.
        local_world: Number of processes on this machine.
        own_gpu: Whether each process can have a GPU of its own, which nccl requires.
        held: Holds back signals while the processes meet.
        apart: Whether a process has ended, so that there are no more meetings.
    """

    rank: int
    world: int
    local_rank: int = 0
    local_world: int = 1
    own_gpu: bool = False
    held: Callable[[], AbstractContextManager[None]] = nullcontext
    apart: bool = False

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

    def together(self, program: Callable[[], T], held: Callable[[], AbstractContextManager[None]]) -> T:
        """Run a program on every process; where it ends on process 0, it ends in the same way everywhere.

        Every process gets the value that process 0 gets, which must not be None, or its UserError. After any other
        error on process 0, which reports it, the others raise SystemExit.
        """
        self.held, self.apart = held, False
        outcome: T | UserError | None = None
        failure: BaseException | None = None
        try:
            with warnings.catch_warnings():
                if not self.leads:
                    warnings.simplefilter("ignore")
                outcome = program()
        except Ended:
            pass  # process 0 tells below how
        except Lost:
            raise
        except UserError as mistake:
            outcome = mistake
        except BaseException as error:
            failure = error
        with held():
            if not self.apart:
                self._meet(ended=True)
            outcome = self.from_leader(outcome)
        if failure is not None and (self.leads or outcome is not None):
            raise failure
        if isinstance(outcome, UserError):
            raise outcome
        if outcome is None:
            raise SystemExit(1)
        return outcome

    def sum(self, share: Callable[[], Sequence[Tensor]], *same: Tensor) -> list[Tensor]:
        """Sum over the processes of each tensor that `share` returns, which depend on the tensors `same`.

        If a process has too little memory for its share, all raise MemoryError; if `same` differ, all raise Diverged.
        """
        parts: Sequence[Tensor] = ()
        total, short = torch.empty(0), None
        try:
            with allocating():
                parts = share()
                total = torch.cat([part.detach().reshape(-1) for part in parts])
        except MemoryError as error:
            short = error
        with self.held(), _connected():
            self._meet(total.numel() + sum(map(_bits, same)), short)
            dist.all_reduce(total)
        return [each.view(part.shape) for each, part in zip(total.split([part.numel() for part in parts]), parts)]

    def _meet(self, same: int = 0, short: MemoryError | None = None, *, ended: bool = False) -> None:
        """Tell the others that all is well here or not, and raise what follows from what any process tells."""
        same, number = same % 2**62, self.rank + 1
        told = torch.tensor([same, -same, number * ended, number * (short is not None)])
        with _connected():
            dist.all_reduce(told, dist.ReduceOp.MAX)
        most, least, over, poor = told.tolist()
        self.apart = bool(over)
        if ended:
            return
        if over and self.leads:
            raise UserError(f"process {over - 1} of this run has failed, as it says itself", 4)
        if over:
            raise Ended
        if poor:
            raise short or MemoryError(f"process {poor - 1} has too little")
        if most + least:
            raise Diverged

    def broadcast(self, tensor: Tensor) -> None:
        """Overwrite a tensor with that of process 0; it must be contiguous and of the same shape everywhere."""
        with _connected():
            dist.broadcast(tensor, 0)

    def from_leader(self, own: T) -> T:
        """The object that process 0 passes, sent as a pickle."""
        objects = [own]
        with self.held(), _connected():
            if not self.apart:
                self._meet()
            dist.broadcast_object_list(objects, 0)
        return objects[0]

    def from_all(self, own: T) -> list[T]:
        """The objects that all processes pass, sent as pickles and ordered by rank."""
        objects = [own] * self.world
        with _connected():
            dist.all_gather_object(objects, own)
        return objects


def _bits(tensor: Tensor) -> int:
    """A number that two tensors share if they are equal bit for bit, and else hardly ever."""
    return int(tensor.detach().contiguous().view(torch.int32).sum(dtype=torch.int64))


def join() -> Group | None:
    """Join the other processes that torchrun has started, for the rest of their lives; None for a single process.

    Short messages use gloo even where tensors use nccl: a process that waits for one notices at once that its sender
    has died, and takes no time on a GPU.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        return None
    rank = int(os.environ["RANK"])
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
    """Destroy the group and with it gloo's threads, even where a traceback in a cycle of references holds it."""
    if dist.is_initialized():
        dist.destroy_process_group()
        gc.collect()

"""One writer per directory: a lock that the kernel releases when the process dies, however it dies."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from rdc_dyn.status import UserError
from rdc_dyn.store.disk import reported

LOCK = ".lock"
#: Tries, a moment apart, to take a lock, which a reader may hold for an instant.
_TRIES, _MOMENT = 5, 0.02


class BusyError(UserError):
    """A living process holds the directory."""


@dataclass(frozen=True)
class Lock:
    """A held directory; the file outlives the lock and names its last holder."""

    file: IO[bytes]

    @classmethod
    def take(cls, folder: Path, what: str) -> Lock:
        """Lock a directory; `BusyError` if a living process holds it, which messages call `what`: another run, say."""
        with reported(folder / LOCK), ExitStack() as opened:
            # Not truncated before it is locked, since another process may hold the lock.
            handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
            file = opened.enter_context(open(handle, "r+b", buffering=0))
            if not any(_locked(file) for _ in range(_TRIES)):
                raise BusyError(f"{folder}: {what} is writing here{_holder(file)}; wait for it, or stop it")
            file.truncate(0)
            file.write(f"{os.getpid()} {socket.gethostname()}\n".encode())
            opened.pop_all()
            return cls(file)

    def release(self) -> None:
        """Release the lock."""
        self.file.close()


def _locked(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        time.sleep(_MOMENT)
        return False
    return True


def held(folder: Path) -> bool:
    """Whether a living process is writing to a directory, as far as can be seen from this machine."""
    try:
        handle = os.open(folder / LOCK, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    else:
        return False
    finally:
        os.close(handle)


def _holder(file: IO[bytes]) -> str:
    """Process and machine of the holder, for a message; empty if the file does not name them yet."""
    number, _, host = file.read(200).decode(errors="replace").strip().partition(" ")
    return f" (process {number} on {host})" if number.isdigit() and host.isprintable() else ""

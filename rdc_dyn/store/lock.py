"""One writer per directory: a lock that the kernel releases when the process dies, however it dies."""

from __future__ import annotations

import fcntl
import os
import socket
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from rdc_dyn.status import UserError
from rdc_dyn.store.commit import open_own, reported

LOCK = ".lock"


@dataclass(frozen=True)
class Lock:
    """A held directory; the file outlives the lock and names its last holder."""

    file: IO[str]

    @classmethod
    def take(cls, folder: Path, what: str) -> Lock:
        """Lock a directory; UserError if a living process holds it, which messages call `what`: another run, say."""
        with reported(folder / LOCK), ExitStack() as opened:
            # Not truncated before it is locked, since another process may hold the lock.
            file = opened.enter_context(open_own(folder / LOCK, "r+"))
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise UserError(f"{folder}: {what} is writing here{_holder(file)}; wait for it, or stop it") from None
            file.truncate(0)
            file.write(f"{os.getpid()} {socket.gethostname()}\n")
            file.flush()
            opened.pop_all()
            return cls(file)

    def release(self) -> None:
        """Release the lock."""
        self.file.close()


def _holder(file: IO[str]) -> str:
    """Process and machine of the holder, for a message; empty if the file does not name them yet."""
    try:
        number, _, host = file.read(200).strip().partition(" ")
    except (OSError, ValueError):
        return ""
    return f" (process {number} on {host})" if number.isdigit() and host.isprintable() else ""

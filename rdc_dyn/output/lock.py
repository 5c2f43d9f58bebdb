"""One writer in a directory; the kernel lets go of it when the process dies, however it dies."""

from __future__ import annotations

import fcntl
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from rdc_dyn.status import DataError, UserError

LOCK = ".lock"


@dataclass(frozen=True)
class Lock:
    """A directory that is held.

    Attributes:
        file: The lock file, open; it stays when the lock is gone, and says who had it last.
    """

    file: IO[str]

    @classmethod
    def take(cls, folder: Path, what: str) -> Lock:
        """Hold a directory.

        Args:
            folder: The directory.
            what: What messages call the other holder, such as `another run`.

        Returns:
            The lock.

        Raises:
            UserError: If a living process holds it.
            DataError: If the lock cannot be written.
        """
        try:
            # Neither truncated before it is ours, nor followed: a link here would have another file written to.
            handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise DataError(f"{folder / LOCK}: cannot be written ({error.strerror or error})") from None
        file = os.fdopen(handle, "r+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = _holder(file)
            file.close()
            raise UserError(f"{folder}: {what} is writing here{holder}; wait for it, or stop it") from None
        try:
            file.truncate(0)
            file.write(f"{os.getpid()} {socket.gethostname()}\n")
            file.flush()
        except OSError as error:
            file.close()
            raise DataError(f"{folder / LOCK}: cannot be written ({error.strerror or error})") from None
        return cls(file)

    def release(self) -> None:
        """Let go."""
        self.file.close()


def _holder(file: IO[str]) -> str:
    """Process and machine, as the holder wrote them; nothing where it has not yet."""
    try:
        number, _, host = file.read(200).strip().partition(" ")
    except (OSError, ValueError):
        return ""
    return f" (process {number} on {host})" if number.isdigit() and host.isprintable() else ""

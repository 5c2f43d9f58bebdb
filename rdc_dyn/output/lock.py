"""One writer per directory: a lock that the kernel releases when the process dies, however it dies."""

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
    """A held directory.

    Attributes:
        file: The open lock file, which outlives the lock and names its last holder.
    """

    file: IO[str]

    @classmethod
    def take(cls, folder: Path, what: str) -> Lock:
        """Lock a directory; `what` is how messages call another holder, such as `another run`.

        Raises UserError if a living process holds the directory, and DataError if the lock cannot be written.
        """
        try:
            # No O_TRUNC, since another process may hold the lock; O_NOFOLLOW, since a link could lead to any file.
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
        """Release the lock."""
        self.file.close()


def _holder(file: IO[str]) -> str:
    """Process and machine of the holder, for a message; empty if the file does not name them yet."""
    try:
        number, _, host = file.read(200).strip().partition(" ")
    except (OSError, ValueError):
        return ""
    return f" (process {number} on {host})" if number.isdigit() and host.isprintable() else ""

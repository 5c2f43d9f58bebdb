"""Atomic commits: temporary name → read back → fsync → rename → fsync of the folder; a file is whole or absent.

Errors of files become one line each.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from rdc_dyn.status import DataError

#: Part of a file's name until the file is whole.
_MARK = ".tmp-"


@contextmanager
def reported(path: Path, what: str = "cannot be written") -> Iterator[None]:
    """Raise an OSError of the block as a DataError that names the path and says what failed."""
    try:
        yield
    except OSError as error:
        raise DataError(f"{path}: {what} ({error.strerror or error})") from None


def one_line(error: Exception) -> str:
    """The message of an error on one line, cut to 200 characters; its type if it has none."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else text[:200] + " ..."


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path whose file takes the place of `path` in one step; DataError if it cannot be written."""
    temporary = path.with_name(f".{path.name}{_MARK}{os.getpid()}")
    try:
        with reported(path):
            yield temporary
            os.replace(temporary, path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def commit(path: Path, write: Callable[[Path], object]) -> str:
    """Write a file so that no kill, power cut or full disk leaves part of it under its name; return its SHA-256.

    `write` writes the file at a temporary path, reads it back if need be, and raises OSError if it is wrong.
    """
    with replacing(path) as temporary:
        write(temporary)
        flush(temporary)
        digest = sha256(temporary)
    with reported(path):
        flush(path.parent)
    return digest


def open_own(path: Path, mode: str) -> IO[str]:
    """Open a text file, created if missing; never by a link, which could lead to any file."""

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags | os.O_CREAT | os.O_NOFOLLOW, 0o644)

    return open(path, mode, encoding="utf-8", opener=opener)


def remove(paths: Iterable[Path]) -> None:
    """Remove files that nothing refers to any more, if they exist; DataError if one cannot be removed."""
    for path in paths:
        with reported(path, "cannot be removed"):
            path.unlink(missing_ok=True)


def temporaries(folder: Path) -> list[Path]:
    """Temporary files that a process left behind when it died during a commit."""
    return [path for path in folder.glob(f".*{_MARK}*") if path.is_file()]


def flush(path: Path) -> None:
    """Flush a file, or the entries of a folder, to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_space(folder: Path, needed: int) -> None:
    """Raise DataError unless the disk of a folder has `needed` bytes free: stop before it is full, not after."""
    with reported(folder, "cannot be read"):
        free = shutil.disk_usage(folder).free
    if free < needed:
        raise DataError(
            f"{folder}: the disk has {free / 1e6:.1f} MB left and {needed / 1e6:.1f} MB are needed; what is written so "
            "far is whole: make room, then use rdc-dyn resume"
        )

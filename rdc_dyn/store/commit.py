"""Commits: temporary name, fsync, rename, fsync of the folder; under its own name a file is whole or absent."""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rdc_dyn.status import DataError
from rdc_dyn.store import disk
from rdc_dyn.store.disk import reported

#: Part of a file's name until the file is whole.
_MARK = ".tmp-"


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
            if path.exists() and not path.is_file():  # a device or a pipe would be replaced by a file
                raise OSError("is no regular file")
            temporary.unlink(missing_ok=True)  # of a process with this number that died
            yield temporary
            disk.rename(temporary, path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def commit(path: Path, content: bytes | Callable[[Path], object]) -> str:
    """Write a file so that no kill, power cut or full disk leaves part of it under its name; return its SHA-256.

    A function in place of the content writes the file at a temporary path, and raises OSError if it cannot.
    """
    with replacing(path) as temporary:
        if isinstance(content, bytes):
            disk.write(temporary, content)
        else:
            disk.before("write", temporary, b"")
            content(temporary)
        disk.flush(temporary)
        digest = sha256(temporary)
        if isinstance(content, bytes) and digest != hashlib.sha256(content).hexdigest():
            raise OSError("what was written does not read back")
    with reported(path):
        disk.flush(path.parent)
    return digest


def temporaries(folder: Path) -> list[Path]:
    """Temporary files that a process left behind when it died during a commit."""
    return [path for path in folder.glob(f".*{_MARK}*") if path.is_file()]


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file that is no link."""
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW), "rb") as file:
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

"""The operations on files that a run or a sweep consists of: each one that changes something passes `before`."""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rdc_dyn.status import DataError


def _nothing(operation: str, path: Path, content: bytes) -> None:
    """Let every operation pass."""


#: Called before each operation with its name, its path and what it writes; tests let it fail or end the process.
before: Callable[[str, Path, bytes], None] = _nothing


@contextmanager
def reported(path: Path, what: str = "cannot be written") -> Iterator[None]:
    """Raise an OSError of the block as a DataError that names the path and says what failed."""
    try:
        yield
    except OSError as error:
        raise DataError(f"{path}: {what} ({error.strerror or error})") from None


def below(folder: Path, *names: str) -> Path:
    """The path of a file or folder below a run or sweep directory; DataError if a link stands on the way."""
    for name in names:
        folder = folder / name
        with reported(folder, "cannot be read"):
            is_link = folder.is_symlink()
        if is_link:
            raise DataError(f"{folder}: is a link, and below a run or sweep directory none is followed")
    return folder


def read(path: Path, most: int, *, follow: bool = False) -> bytes:
    """Read a regular file of at most `most` bytes; OSError if it is none, or is a link and `follow` is not set."""
    # Without O_NONBLOCK, opening a pipe waits for a writer.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW))
    with open(handle, "rb") as file:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise OSError("no regular file")
        if found.st_size > most:
            raise OSError(f"{found.st_size / 1e6:.0f} MB are more than such a file can have")
        return file.read()


def write(path: Path, content: bytes) -> None:
    """Write a new file, which must not exist."""
    before("write", path, content)
    with open(path, "xb") as file:
        file.write(content)


def append(handle: int, path: Path, content: bytes) -> None:
    """Append to an open file."""
    before("append", path, content)
    while content:
        content = content[os.write(handle, content) :]


def cut(handle: int, path: Path, length: int) -> None:
    """Cut an open file to its first bytes."""
    before("cut", path, b"")
    os.ftruncate(handle, length)


def flush(path: Path, handle: int | None = None) -> None:
    """Flush a file, or the entries of a folder, to the medium; `handle` is that of an open file."""
    before("flush", path, b"")
    opened = os.open(path, os.O_RDONLY) if handle is None else handle
    try:
        os.fsync(opened)
    finally:
        if handle is None:
            os.close(opened)


def rename(path: Path, to: Path) -> None:
    """Put a file in the place of another."""
    before("rename", path, b"")
    os.replace(path, to)


def remove(path: Path) -> None:
    """Remove a file if it exists; DataError if it cannot be removed."""
    with reported(path, "cannot be removed"):
        before("remove", path, b"")
        path.unlink(missing_ok=True)


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, unless it exists."""
    before("make folder", path, b"")
    path.mkdir(parents=True, exist_ok=True)

"""Temporary name → close → read back → fsync → rename → fsync of the folder: a file is whole, or it is not there."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from rdc_dyn.status import DataError

#: What the name of a file has in it until the file is whole.
_MARK = ".tmp-"
_BLOCK = 1 << 20


def commit(path: Path, write: Callable[[Path], object], check: Callable[[Path], object] | None = None) -> str:
    """Write a file so that no kill, no power cut and no full disk leaves a part of it under its name.

    Args:
        path: Its name; a file that has it already is replaced in one step.
        write: Writes and closes the file whose name it is given.
        check: Reads it back and raises where that is not what was to be written.

    Returns:
        SHA-256 of its bytes.

    Raises:
        DataError: If it cannot be written; what had the name before still has it.
    """
    temporary = path.with_name(f".{path.name}{_MARK}{os.getpid()}")
    try:
        write(temporary)
        if check is not None:
            check(temporary)
        flush(temporary)
        digest = sha256(temporary)
        os.replace(temporary, path)
        flush(path.parent)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror or error})") from None
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    return digest


def commit_text(path: Path, text: str) -> str:
    """Commit a text.

    Args:
        path: Its name.
        text: What it holds.

    Returns:
        SHA-256 of its bytes.
    """
    return commit(path, lambda file: file.write_bytes(text.encode()))


def remove(paths: Iterable[Path], *, at_once: bool = False) -> None:
    """Remove files that nothing refers to any more.

    Args:
        paths: Files, in one folder or several; those that are not there are passed over.
        at_once: Whether what comes next must not find them again after a power cut.

    Raises:
        DataError: If one cannot be removed.
    """
    folders = set()
    for path in paths:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise DataError(f"{path}: cannot be removed ({error.strerror or error})") from None
        folders.add(path.parent)
    for folder in folders if at_once else ():
        with suppress(OSError):
            flush(folder)


def temporaries(folder: Path) -> list[Path]:
    """What a process that died in the middle of a commit has left behind."""
    return [path for path in folder.glob(f".*{_MARK}*") if path.is_file()]


def flush(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sha256(path: Path) -> str:
    """SHA-256 of a file, a block at a time."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def require_space(folder: Path, needed: int) -> None:
    """Stop before a disk is full rather than after.

    Args:
        folder: On the disk.
        needed: Bytes that are about to be written.

    Raises:
        DataError: If there is less.
    """
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror or error})") from None
    if free < needed:
        raise DataError(
            f"{folder}: the disk has {free / 1e6:.1f} MB left and {needed / 1e6:.1f} MB are needed; what is written so "
            "far is whole: make room, then use rdc-dyn resume"
        )

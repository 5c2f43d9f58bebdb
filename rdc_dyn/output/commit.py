"""Atomic commits: temporary name → read back → fsync → rename → fsync of the folder; a file is whole or absent."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from rdc_dyn.status import DataError

#: Part of a file's name until the file is whole.
_MARK = ".tmp-"
_BLOCK = 1 << 20


def commit(path: Path, write: Callable[[Path], object], check: Callable[[Path], object] | None = None) -> str:
    """Write a file so that no kill, power cut or full disk leaves part of it under its name; return its SHA-256.

    `write` writes and closes the file at the temporary path it is given; `check` reads it back and raises OSError if
    it is wrong. An existing file is replaced in one step. Raises DataError if the file cannot be written.
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
    """Commit a text as UTF-8 and return the SHA-256 of the file."""
    return commit(path, lambda file: file.write_bytes(text.encode()))


def remove(paths: Iterable[Path], *, at_once: bool = False) -> None:
    """Remove files that nothing refers to any more, if they exist; DataError if one cannot be removed.

    `at_once` flushes their folders too, so that no power cut brings the files back.
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
    """Hexadecimal SHA-256 of a file, read block by block."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def require_space(folder: Path, needed: int) -> None:
    """Raise DataError unless the disk of a folder has `needed` bytes free: stop before it is full, not after."""
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror or error})") from None
    if free < needed:
        raise DataError(
            f"{folder}: the disk has {free / 1e6:.1f} MB left and {needed / 1e6:.1f} MB are needed; what is written so "
            "far is whole: make room, then use rdc-dyn resume"
        )

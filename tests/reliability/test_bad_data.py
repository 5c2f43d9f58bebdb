"""Data sets of strangers: one line, the right exit code, no run directory, in bounded time and memory."""

from __future__ import annotations

import json
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.lib import format as npy
from PIL import Image

from rdc_dyn.cli import main
from tests.reliability.test_attacks import _Harmful, bounded
from tests.tiny import images

Fill = Callable[[Path], object]


@pytest.fixture(autouse=True, scope="module")
def _imported() -> None:
    """Libraries take longer to import than any file to be refused."""
    for name in ("torchvision.datasets", "rdc_dyn.running.runner", "rdc_dyn.running.progress"):
        import_module(name)


# --- npz ----------------------------------------------------------------------------------------------------------

_X, _Y = np.linspace(0, 1, 12 * 4).reshape(12, 2, 2), np.arange(12) % 3


def _arrays(x: Any = _X, y: Any = _Y, **more: Any) -> Fill:
    return lambda path: np.savez(path, x=x, y=y, **more)


def _changed(array: np.ndarray, index: Any, value: Any) -> np.ndarray:
    changed = array.astype(np.float64)
    changed[index] = value
    return changed


def _raw(**members: bytes) -> Fill:
    """An npz file of bytes as they are, deflated."""

    def fill(path: Path) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            for name, content in members.items():
                file.writestr(f"{name}.npy", content)

    return fill


def _header(shape: tuple[int, ...], descr: str = "<f8", version: int = 1) -> bytes:
    text = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape!r}, }}\n".encode()
    length = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + length + text


def _zeros(path: Path) -> None:
    """A gigabyte of zeros in a megabyte."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        with file.open("x.npy", "w") as stream:
            stream.write(_header((2**17, 1024)))
            block = bytes(2**22)
            for _ in range(2**8):
                stream.write(block)
        with file.open("y.npy", "w") as stream:
            npy.write_array(stream, np.arange(2**17) % 3)


def _encrypted(path: Path) -> None:
    _arrays()(path)
    content = bytearray(path.read_bytes())
    for mark in (b"PK\x03\x04", b"PK\x01\x02"):
        content[content.index(mark) + (6 if mark.endswith(b"\x04") else 8)] |= 1
    path.write_bytes(content)


_objects = np.array([_Harmful()] * 12, dtype=object)
NPZ: dict[str, tuple[Fill, str]] = {
    "NaN": (_arrays(_changed(_X, (3, 0, 1), np.nan)), "datum 3, component 1 is nan"),
    "Inf": (_arrays(_changed(_X, (4, 1, 0), np.inf)), "datum 4, component 2 is inf"),
    "NaN as a label": (_arrays(y=_changed(_Y, 5, np.nan)), "datum 5 has label nan"),
    "negative label": (_arrays(y=_changed(_Y, 5, -1)), "datum 5 has label -1"),
    "half a label": (_arrays(y=_changed(_Y, 5, 0.5)), "datum 5 has label 0.5"),
    "label far out": (_arrays(y=_changed(_Y, 5, 10**6)), "label 1000000, but there are only 12 data"),
    "label beyond all": (_arrays(y=_changed(_Y, 5, 1e300)), "datum 5 has label 1e+300"),
    "labels too few": (_arrays(y=_Y[:5]), "12 inputs but 5 labels"),
    "labels in a matrix": (_arrays(y=_Y[:, None]), "y has shape (12, 1)"),
    "one class": (_arrays(y=np.zeros(12, int)), "only one class"),
    "no data": (_arrays(_X[:0], _Y[:0]), "no data left"),
    "words": (_arrays(y=np.array(["a"] * 12)), "y has type <U1; expected numbers"),
    "complex": (_arrays(_X * 1j), "x has type complex128; expected numbers"),
    "dates": (_arrays(y=np.array(["2020-01-01"] * 12, dtype="M8[D]")), "expected numbers"),
    "records": (_arrays(y=np.zeros(12, dtype=[("a", "i4")])), "expected numbers"),
    "objects": (lambda path: np.savez(path, x=_X, y=_objects), "y has type object; expected numbers"),
    "objects as x": (lambda path: np.savez(path, x=_objects, y=_Y), "x has type object; expected numbers"),
    "no y": (lambda path: np.savez(path, x=_X), "holds x; expected arrays x and y"),
    "npy": (lambda path: np.save(path.open("wb"), _X), "not a readable npz file"),
    "text": (lambda path: path.write_text("x, y\n1, 2\n"), "not a readable npz file"),
    "empty": (lambda path: path.write_bytes(b""), "not a readable npz file"),
    "missing": (lambda path: None, "not a readable npz file"),
    "folder": (lambda path: path.mkdir(), "no regular file"),
    "pipe": (os.mkfifo, "no regular file"),
    "encrypted": (_encrypted, "not a readable npz file"),
    "huge shape": (_raw(x=_header((2**40, 4)) + bytes(64), y=_header((12,), "<i8") + bytes(96)), "at most 8 GB"),
    "shape beyond all": (_raw(x=_header((2**62, 2**62, 2**62)), y=_header((12,))), "at most 8 GB"),
    "negative shape": (_raw(x=_header((-12, 4)), y=_header((12,))), "at most 8 GB"),
    "more than there is": (_raw(x=_header((10**6, 4)) + bytes(64), y=_header((12,))), "bytes can hold"),
    "zip bomb": (_zeros, "bytes can hold"),
    "long header": (_raw(x=_header((1,), version=2)[:8] + struct.pack("<I", 2**31), y=b""), "not a readable npz file"),
    "program as a header": (
        _raw(x=_header((1,)).replace(b"'shape': (1,)", b"'shape': open('created', 'w')"), y=b""),
        "not a readable npz file",
    ),
    "another version": (_raw(x=b"\x93NUMPY\x03\x00" + bytes(40), y=b""), "version (3, 0)"),
}


# --- images -------------------------------------------------------------------------------------------------------


def _png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    pixels = zlib.compress(bytes(((width + 7) // 8 + 1) * min(height, 100)))
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def _folders(path: Path) -> None:
    for kind in ("ant", "bee"):
        (path / kind).mkdir(parents=True)
        for number in range(3):
            Image.new("L", (6, 6), 40 * number).save(path / kind / f"{number}.png")


def _with(name: str, content: bytes) -> Fill:
    def fill(path: Path) -> None:
        _folders(path)
        (path / "bee" / name).write_bytes(content)

    return fill


def _link(name: str, to: str) -> Fill:
    def fill(path: Path) -> None:
        _folders(path)
        Image.new("L", (6, 6)).save(path.parent / "secret.png")
        (path / name).symlink_to(to)

    return fill


def _empty_class(path: Path) -> None:
    _folders(path)
    (path / "wasp").mkdir()


def _loops(path: Path) -> None:
    """Two links to where they are: whoever follows them has 2^40 folders to visit."""
    _folders(path)
    for name in ("again", "and again"):
        (path / "bee" / name).symlink_to(path / "bee")


FOLDERS: dict[str, tuple[Fill, str]] = {
    "cut": (_with("1.png", _png(6, 6)[:44]), "bee/1.png: not a readable image"),
    "cut JPEG": (_with("1.jpg", b"\xff\xd8\xff\xe0\x00\x10JFIF"), "bee/1.jpg: not a readable image"),
    "text": (_with("1.png", b"no image"), "bee/1.png: not a readable image"),
    "decompression bomb": (_with("1.png", _png(100_000, 100_000)), "bee/1.png: not a readable image (Image size"),
    "large": (_with("1.png", _png(9_000, 9_000)), "9000 x 9000 pixels; expected at most"),
    "link out": (_link("bee/9.png", "../../secret.png"), "bee/9.png: a link out of"),
    "link to a file of the system": (_link("bee/9.png", "/etc/hostname"), "bee/9.png: a link out of"),
    "link to a folder": (_link("wasp", ".."), "wasp: a link to a folder"),
    "loops of links": (_loops, "a link to a folder"),
    "empty class": (_empty_class, "has no datum of class wasp"),
    "no folder": (lambda path: None, "no folder of images"),
    "no image": (lambda path: (path / "ant").mkdir(parents=True), "no image in its folders"),
}


# --- IDX ----------------------------------------------------------------------------------------------------------


def _idx(pixels: bytes, labels: bytes) -> Fill:
    def fill(path: Path) -> None:
        raw = path / "MNIST" / "raw"
        raw.mkdir(parents=True)
        for prefix in ("train", "t10k"):
            (raw / f"{prefix}-images-idx3-ubyte").write_bytes(pixels)
            (raw / f"{prefix}-labels-idx1-ubyte").write_bytes(labels)

    return fill


def _content(*shape: int, body: bytes | None = None) -> bytes:
    head = struct.pack(f">{len(shape) + 1}I", 0x0800 + len(shape), *shape)
    return head + (bytes(int(np.prod(shape))) if body is None else body)


_PIXELS, _LABELS = _content(12, 28, 28), _content(12, body=bytes(range(10)) + b"\0\1")
IDX: dict[str, tuple[Fill, str]] = {
    "label out of range": (_idx(_PIXELS, _content(12, body=bytes([200] * 12))), "datum 0 has label 200"),
    "labels too few": (_idx(_PIXELS, _content(5)), "12 images but 5 labels"),
    "cut": (_idx(_PIXELS[:-9], _LABELS), "a file of mnist is missing or damaged"),
    "huge": (_idx(_content(2**31, 2**10, 2**10, body=b"0" * 64), _LABELS), "a file of mnist is missing or damaged"),
    "another type": (_idx(b"\0\0\x0d\x03" + _PIXELS[4:], _LABELS), "a file of mnist is missing or damaged"),
    "no IDX": (_idx(b"pixels", _LABELS), "a file of mnist is missing or damaged"),
    "missing": (lambda path: path.mkdir(), "mnist not found"),
}

SETS: dict[str, tuple[dict[str, Any], str, dict[str, tuple[Fill, str]]]] = {
    "npz": ({"source": {"name": "npz", "file": "data"}}, "data", NPZ),
    "image_folder": ({"source": {"name": "image_folder", "folder": "data", "size": 6}}, "data", FOLDERS),
    "mnist": ({"source": {"name": "mnist"}, "root": "data"}, "data", IDX),
}


@pytest.mark.parametrize(("kind", "case"), [(kind, case) for kind in SETS for case in SETS[kind][2]])
def test_bad_data_are_refused(tmp_path: Path, kind: str, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    section, name, cases = SETS[kind]
    fill, words = cases[case]
    fill(tmp_path / f"{name}.tmp.npz" if kind == "npz" else tmp_path / name)
    if kind == "npz" and (tmp_path / f"{name}.tmp.npz").exists():  # NumPy adds the ending
        (tmp_path / f"{name}.tmp.npz").rename(tmp_path / name)
    tree = images()
    tree["data"] = section
    (tmp_path / "s.yaml").write_text(json.dumps(tree))
    before = sorted(tmp_path.rglob("*"))
    with bounded():
        result = CliRunner().invoke(main, ["run", "s.yaml", "-o", "out"])
    assert result.exit_code == 4, result.output
    assert isinstance(result.exception, SystemExit) and len(result.stderr.strip().splitlines()) == 1, result.stderr
    assert words in result.stderr and len(result.stderr) < 1000
    assert sorted(tmp_path.rglob("*")) == before


def test_good_data_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compressed black images, and a link within the folder, are no attack."""
    monkeypatch.chdir(tmp_path)
    _folders(tmp_path / "data")
    (tmp_path / "data" / "bee" / "3.png").symlink_to("1.png")
    np.savez_compressed(tmp_path / "d.npz", x=np.zeros((1000, 28, 28)), y=np.arange(1000) % 3)
    for section in (SETS["image_folder"][0], {"source": {"name": "npz", "file": "d.npz"}}):
        (tmp_path / "s.yaml").write_text(json.dumps({**images(), "data": section}))
        result = CliRunner().invoke(main, ["run", "s.yaml", "-o", "out", "--dry-run"])
        assert result.exit_code == 0, result.output

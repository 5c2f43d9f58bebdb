"""Files of data sets: what is read of them, and one line where they are missing, damaged or too large."""

from __future__ import annotations

import hashlib
import os
import pickle
import struct
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from rdc_dyn.data.datasets import Selection, load_data, select
from rdc_dyn.data.readers import image_folder
from rdc_dyn.data.samples import Data
from rdc_dyn.scenario.sections.readers import READERS
from rdc_dyn.status import DataError
from tests.named_data import named, sets
from tests.problems import FLOAT

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
NAMES = READERS.members["cifar10"].class_names


def load(
    source: Selection, target: Selection | None, like: torch.Tensor = FLOAT, held_out: tuple[Selection, ...] = ()
) -> Data:
    return load_data(sets(source, target, *held_out), 0.0, 0, unit_interval=True, like=like)


def refused(selection: Selection, *words: str, seed: int = 0) -> None:
    with pytest.raises(DataError) as raised:
        chosen = select(selection, seed)
        chosen.x(torch.float64)
    message = str(raised.value)
    assert len(message.splitlines()) == 1 and raised.value.exit_code == 4
    for word in words:
        assert word in message


# --- MNIST and Fashion-MNIST ----------------------------------------------------------------------------------------


def idx(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(f">{array.ndim + 1}i", 0x0800 + array.ndim, *array.shape)
    path.write_bytes(header + array.astype(np.uint8).tobytes())


def write_mnist(root: Path, folder: str = "MNIST", count: int = 20) -> np.ndarray:
    """Random images, of which the test set has half as many, and their labels 0 ... 9."""
    images = np.random.default_rng(0).integers(0, 256, (count, 28, 28))
    for prefix, part in (("train", images), ("t10k", images[::-2])):
        idx(root / folder / "raw" / f"{prefix}-images-idx3-ubyte", part)
        idx(root / folder / "raw" / f"{prefix}-labels-idx1-ubyte", np.arange(len(part)) % 10)
    return images


@pytest.mark.parametrize(("name", "folder"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST")])
def test_images_of_torchvision(tmp_path: Path, name: str, folder: str) -> None:
    images = write_mnist(tmp_path, folder)
    for dtype in (torch.float32, torch.float64):
        train = load(named(name, path=tmp_path), None, like=torch.zeros((), dtype=dtype))
        assert train.shape == (1, 28, 28) and train.classes == 10 and train.source.x.dtype == dtype
        expected = torch.from_numpy(images.reshape(20, 784) / 255.0).to(dtype)
        assert torch.equal(train.source.x, expected)
    test = load(named(name, path=tmp_path, split="test"), None)
    assert torch.equal(test.source.x, torch.from_numpy(images[::-2].reshape(10, 784) / 255.0))


def test_names_of_fashion_mnist(tmp_path: Path) -> None:
    from torchvision.datasets import FashionMNIST

    assert READERS.members["fashion_mnist"].class_names == tuple(FashionMNIST.classes)
    write_mnist(tmp_path, "FashionMNIST")
    chosen = select(named("fashion_mnist", ("Bag", "Coat", 0), path=tmp_path), 0)
    assert chosen.rows.tolist() == [0, 4, 8, 10, 14, 18] and chosen.y.tolist() == [2, 1, 0, 2, 1, 0]
    assert chosen.names == ("Bag", "Coat", "T-shirt/top")
    refused(named("fashion_mnist", ("Sneakers",), path=tmp_path), "no class 'Sneakers'", "did you mean 'Sneaker'?")


@pytest.mark.parametrize(
    "damage",
    [
        lambda b: b[: len(b) // 2],
        lambda b: b"",
        lambda b: b[:3],
        lambda b: b"\x00\x00\x0d\x03" + b[4:],
        lambda b: b"\x00\x00\x07\x03" + b[4:],
        lambda b: b"\x00\x00\x08\x01" + b[4:],
        lambda b: b[:4] + b"\xff\xff\xff\xff" + b[8:],
        lambda b: os.urandom(200),
    ],
)
def test_damaged_mnist(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    write_mnist(tmp_path)
    path = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte"
    path.write_bytes(damage(path.read_bytes()))
    refused(named("mnist", path=tmp_path), f"{tmp_path / 'MNIST' / 'raw'}", "missing or damaged")


def test_images_without_labels(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    idx(tmp_path / "MNIST" / "raw" / "train-labels-idx1-ubyte", np.arange(7))
    refused(named("mnist", path=tmp_path), "20 images but 7 labels")


@pytest.mark.parametrize(
    ("name", "folder"),
    [("mnist", "MNIST/raw"), ("fashion_mnist", "FashionMNIST/raw"), ("cifar10", "cifar-10-batches-py")],
)
def test_what_is_missing_says_where_to_put_it(tmp_path: Path, name: str, folder: str) -> None:
    both = ("data.root", "RDC_DYN_DATA", folder)
    refused(named(name, path=tmp_path), f"{tmp_path}: {name} not found", "data.download: true", *both)
    refused(named(name, path=tmp_path / "no"), f"{tmp_path / 'no'}: {name} not found", *both)
    refused(named(name), "data.root is not set", *both)


def test_mnist_from_a_folder() -> None:
    if not (SHARED / "MNIST" / "raw" / "train-images-idx3-ubyte").is_file():
        pytest.skip("the MNIST files shared/data/MNIST/raw are not beside the checkout")
    selection = named("mnist", limit=1000, path=SHARED)
    data = load(selection, None, held_out=(named("mnist", path=SHARED, split="test"),))
    assert data.source.x.shape == (1000, 784) and data.shape == (1, 28, 28)
    assert data.classes == 10
    assert 0.1 < float(data.source.x.mean()) < 0.16
    assert data.validation is not None
    assert torch.bincount(data.validation.y).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


# --- CIFAR-10 -------------------------------------------------------------------------------------------------------


class _Program:
    """A pickle that runs something: it makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.path,)


def write_cifar10(root: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any] | None = None) -> np.ndarray:
    """Ten images in each of six files, whose digests torchvision is told to expect."""
    from torchvision.datasets import CIFAR10

    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (60, 3072)).astype(np.uint8)
    names = [f"data_batch_{number}" for number in range(1, 6)] + ["test_batch"]
    content: dict[str, Any] = {
        name: {"data": pixels[10 * place : 10 * place + 10], "labels": [(place + k) % 10 for k in range(10)]}
        for place, name in enumerate(names)
    }
    content |= {"batches.meta": {"label_names": list(NAMES)}} | (change or {})
    for name, what in content.items():
        (folder / name).write_bytes(pickle.dumps(what))
    md5 = {name: hashlib.md5((folder / name).read_bytes()).hexdigest() for name in content}
    monkeypatch.setattr(CIFAR10, "train_list", [[name, md5[name]] for name in names[:5]])
    monkeypatch.setattr(CIFAR10, "test_list", [[name, md5[name]] for name in names[5:]])
    monkeypatch.setattr(CIFAR10, "meta", CIFAR10.meta | {"md5": md5["batches.meta"]})
    return pixels


def test_cifar10(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = write_cifar10(tmp_path, monkeypatch)
    data = load(named("cifar10", path=tmp_path), None, held_out=(named("cifar10", path=tmp_path, split="test"),))
    assert data.shape == (3, 32, 32) and data.classes == 10
    assert torch.equal(data.source.x, torch.from_numpy(pixels[:50] / 255.0))  # the files are channel first
    assert data.source.y[:12].tolist() == [*range(10), 1, 2]
    assert data.validation is not None
    assert torch.equal(data.validation.x, torch.from_numpy(pixels[50:] / 255.0))


def test_classes_of_cifar10_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cifar10(tmp_path, monkeypatch)
    by_name = select(named("cifar10", ("truck", "airplane"), path=tmp_path), 0)
    by_label = select(named("cifar10", (9, 0), path=tmp_path), 0)
    assert torch.equal(by_name.rows, by_label.rows) and torch.equal(by_name.y, by_label.y)
    assert by_name.names == ("truck", "airplane") and by_name.y[:2].tolist() == [1, 0]
    refused(named("cifar10", ("car",), path=tmp_path), "no class 'car'", ", ".join(NAMES))
    refused(named("cifar10", ("cat", 3), path=tmp_path), "class 3 is given twice")


@pytest.mark.parametrize("name", ["data_batch_3", "test_batch", "batches.meta"])
def test_no_file_of_cifar10_is_unpickled_unless_it_is_the_published_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    write_cifar10(tmp_path / "good", monkeypatch)
    trace = tmp_path / "trace"
    (tmp_path / "good" / "cifar-10-batches-py" / name).write_bytes(pickle.dumps(_Program(trace)))
    for split in ("train", "test"):
        refused(named("cifar10", path=tmp_path / "good", split=split), "cifar-10-batches-py", "missing or damaged")
    assert not trace.exists()
    # The same file would have run: with its own md5 in torchvision's table it does.
    write_cifar10(tmp_path / "bad", monkeypatch, {name: _Program(trace)})
    split = "test" if name == "test_batch" else "train"
    with pytest.raises(DataError):
        select(named("cifar10", path=tmp_path / "bad", split=split), 0)
    assert trace.is_dir()


def test_a_file_of_cifar10_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cifar10(tmp_path, monkeypatch)
    (tmp_path / "cifar-10-batches-py" / "data_batch_5").unlink()
    refused(named("cifar10", path=tmp_path), f"{tmp_path / 'cifar-10-batches-py'}", "missing or damaged")


# --- anyone's own images --------------------------------------------------------------------------------------------


def write_images(root: Path, counts: dict[str, int], size: tuple[int, int] = (6, 6), mode: str = "RGB") -> Path:
    """PNG files whose pixels are all the number of the image, the classes counted on."""
    number = 0
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for k in range(count):
            Image.new(mode, size, (number,) * 3 if mode == "RGB" else number).save(root / name / f"{k}.png")
            number += 1
    return root


def folder(path: Path, **more: Any) -> Selection:
    return named("image_folder", path=path, **({"size": 6} | more))


def test_an_image_folder(tmp_path: Path) -> None:
    root = write_images(tmp_path, {"ant": 3, "bee": 2, "cow": 4})
    data = load(folder(root), None)
    assert data.shape == (3, 6, 6) and data.classes == 3
    assert data.source.y.tolist() == [0, 0, 0, 1, 1, 2, 2, 2, 2]
    assert torch.equal(data.source.x, (torch.arange(9).double() / 255)[:, None].expand(-1, 108))
    grey = load(folder(root, channels="grey"), None, like=FLOAT.float())
    assert grey.shape == (1, 6, 6) and grey.source.x.dtype == torch.float32
    assert torch.equal(grey.source.x[:, 0], torch.arange(9).float() / 255)


def test_channels_come_first(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, 5, 3)).astype(np.uint8)
    for name, image in zip("ab", pixels):
        (tmp_path / name).mkdir()
        Image.fromarray(image).save(tmp_path / name / "0.png")
    x = load(folder(tmp_path, size=5), None).source.x
    np.testing.assert_array_equal(x.numpy(), pixels.transpose(0, 3, 1, 2).reshape(2, 75) / 255)


def test_images_are_resized_with_antialiasing(tmp_path: Path) -> None:
    """A chessboard of pixels becomes grey; every fourth pixel of it would be black or white."""
    board = (255 * (np.indices((32, 48)).sum(0) % 2)).astype(np.uint8)
    for name in "ab":
        (tmp_path / name).mkdir()
        Image.fromarray(board).save(tmp_path / name / "0.png")
    x = load(folder(tmp_path, size=8, channels="grey"), None).source.x
    assert x.shape == (2, 64)
    assert float((x - 0.5).abs().max()) < 0.02


def test_classes_and_limit_choose_files_before_any_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_images(tmp_path, {"ant": 5, "bee": 5, "cow": 5})
    for k in range(5):
        (root / "ant" / f"{k}.png").write_bytes(b"no image")
    opened: list[str] = []
    real = Image.open

    def counted(path: Path, *args: Any, **more: Any) -> Any:
        opened.append(path.parent.name)
        return real(path, *args, **more)

    monkeypatch.setattr(Image, "open", counted)
    data = load(folder(root, classes=("cow", "bee"), limit=6), None)
    assert len(data.source) == len(opened) == 6 and set(opened) <= {"bee", "cow"}
    assert torch.equal(data.source.y == 0, data.source.x[:, 0] * 255 >= 9.5)


def test_folders_with_numbers_for_names_are_called_by_them(tmp_path: Path) -> None:
    root = write_images(tmp_path, {"10": 2, "2": 3, "7": 1})
    chosen = select(folder(root, classes=(2, "10")), 0)
    assert chosen.y.tolist() == [1, 1, 0, 0, 0]
    refused(folder(root, classes=(0, 2)), "no class '0'; choose of: 10, 2, 7")
    refused(folder(root, classes=(2, "2")), "class 2 is given twice")


def test_a_transfer_between_classes_with_held_out_folders(tmp_path: Path) -> None:
    train = write_images(tmp_path / "train", {"ant": 3, "bee": 3, "cat": 3, "dog": 3})
    test = write_images(tmp_path / "test", {"ant": 2, "bee": 2, "cat": 2, "dog": 2})
    one, other = ("ant", "bee"), ("cat", "dog")
    held_out = (folder(test, classes=one), folder(test, classes=other))
    data = load(folder(train, classes=one), folder(train, classes=other), held_out=held_out)
    assert data.classes == 2 and data.target_validation is not None and len(data.target_validation) == 4
    assert data.target is not None and data.target.y.tolist() == [0, 0, 0, 1, 1, 1]
    swapped = (folder(test, classes=one), folder(test, classes=("dog", "cat")))
    with pytest.raises(DataError, match=r"target: has the classes dog, cat, but data\.target has cat, dog"):
        load(folder(train, classes=one), folder(train, classes=other), held_out=swapped)
    fewer = write_images(tmp_path / "fewer", {"ant": 2, "cat": 2})
    with pytest.raises(DataError, match=r"source: has the classes ant, cat, but data\.source has ant, bee, "):
        load(folder(train), None, held_out=(folder(fewer),))


def test_folders_without_images(tmp_path: Path) -> None:
    refused(folder(tmp_path / "no"), f"{tmp_path / 'no'}: no folder of images", "CLASS/NAME.png")
    refused(folder(tmp_path), f"{tmp_path}: no folder of images (no folder in it)")
    Image.new("L", (6, 6)).save(tmp_path / "loose.png")
    refused(folder(tmp_path / "loose.png"), "no folder of images")
    (tmp_path / "ant").mkdir()
    refused(folder(tmp_path), "no image in its folders", ".jpg")
    (tmp_path / "ant" / "notes.txt").write_text("no image")
    refused(folder(tmp_path), "no image in its folders")
    write_images(tmp_path, {"bee": 2})
    refused(folder(tmp_path, classes=("ant", "bee")), "has no datum of class ant")
    refused(folder(tmp_path, classes=("bees",)), "no class 'bees'; choose of: ant, bee; did you mean 'bee'?")


def png(width: int, height: int) -> bytes:
    """A PNG file that promises so many pixels, all black, and is small."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(((width + 7) // 8 + 1) * min(height, 100)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not a readable image; expected one of JPEG, PNG"),
        (b"no image", "not a readable image; expected one of JPEG, PNG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 6 6\n", "not a readable image; expected one of JPEG, PNG"),
        (png(6, 6)[:44], "not a readable image"),
        (png(50_000, 50_000), "not a readable image (Image size (2500000000 pixels) exceeds limit"),
        (png(10_000, 10_000), "10000 x 10000 pixels; expected at most 67108864 in all"),
        (png(8_200, 8_200), "8200 x 8200 pixels; expected at most 67108864 in all"),
    ],
    ids=["empty", "text", "postscript", "cut", "2500 million", "100 million", "67 million"],
)
def test_an_image_that_is_none_or_a_bomb(tmp_path: Path, content: bytes, words: str) -> None:
    root = write_images(tmp_path, {"ant": 2, "bee": 2})
    (root / "bee" / "1.png").write_bytes(content)
    refused(folder(root), str(root / "bee" / "1.png"), words)


def test_an_image_at_the_limit_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_images(tmp_path, {"ant": 1, "bee": 1}, size=(8, 8))
    monkeypatch.setattr(image_folder, "_MOST_PIXELS", 64)
    assert load(folder(root), None).source.x.shape == (2, 108)
    monkeypatch.setattr(image_folder, "_MOST_PIXELS", 63)
    refused(folder(root), "8 x 8 pixels; expected at most 63")


def test_more_than_eight_bits_are_not_cut_off(tmp_path: Path) -> None:
    root = write_images(tmp_path, {"ant": 1, "bee": 1})
    Image.fromarray(np.full((6, 6), 40_000, dtype=np.uint16)).save(root / "bee" / "0.png")
    refused(folder(root), "more than 8 bits for each pixel (mode I;16)")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_every_kind_of_eight_bit_image(tmp_path: Path, mode: str) -> None:
    for name, white in (("ant", False), ("bee", True)):
        (tmp_path / name).mkdir()
        image = Image.new("RGB", (6, 6), (255, 255, 255) if white else (0, 0, 0))
        image.convert(mode).save(tmp_path / name / ("0.tif" if mode == "CMYK" else "0.png"))
    for channels in ("rgb", "grey"):
        x = load(folder(tmp_path, channels=channels), None).source.x
        assert x.min(1).values.tolist() == x.max(1).values.tolist() == [0.0, 1.0]


def test_images_that_do_not_fit_in_memory(tmp_path: Path) -> None:
    root = write_images(tmp_path, {"ant": 2, "bee": 2})
    refused(folder(root, size=20_000), "4 images of 20000 x 20000 pixels take 35.8 GB, more than 8; set a limit")


def test_photographs_of_cifar10_classes(tmp_path: Path) -> None:
    archive = SHARED / "cifar10-vehicles-animals.tar.xz"
    if not archive.is_file():
        pytest.skip("the images shared/data/cifar10-vehicles-animals.tar.xz are not beside the checkout")
    with tarfile.open(archive) as tar:
        first = [member for member in tar if member.name.endswith(("/0000.jpg", "/0001.jpg"))]
        tar.extractall(tmp_path, first, filter="data")
    classes = ("airplane", "automobile", "ship", "truck")
    held_out = (folder(tmp_path / "test", classes=classes, size=32),)
    data = load(folder(tmp_path / "train", classes=classes, size=32), None, held_out=held_out)
    assert data.source.x.shape == (8, 3072) and data.shape == (3, 32, 32) and data.classes == 4
    assert data.validation is not None and data.validation.y.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert 0.3 < float(data.source.x.mean()) < 0.7 and float(data.source.x.std()) > 0.1

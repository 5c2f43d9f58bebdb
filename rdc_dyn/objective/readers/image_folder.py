"""CLASS/NAME.ext: anyone's own images, brought to one size and one kind of colour, grey values divided by 255."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rdc_dyn.objective.readers.labelled import Labelled, Rows, Selection
from rdc_dyn.status import DataError

#: Most pixels of an image file; a photograph has fewer, and decoding more takes memory without end.
_MOST_PIXELS = 2**26
#: Largest array of all images that are chosen.
_MAX_BYTES = 8 * 2**30
#: The formats of torchvision's extensions; Pillow would try others by a file's content.
_FORMATS = ("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP")
_MODES = {"rgb": "RGB", "grey": "L"}


def read_image_folder(selection: Selection) -> Labelled:
    """Find the images; they are decoded when their inputs are asked for.

    Images of another size are resized (antialiased, without regard to their proportions), colours are converted,
    and transparency is dropped.

    Args:
        selection: `path` is the folder that holds a folder for each class.

    Returns:
        The data, with the names of the folders, in the order of these.

    Raises:
        DataError: If there are no folders or no images, or links that lead elsewhere.
    """
    from torchvision import datasets

    folder = selection.path
    assert folder is not None and selection.size is not None  # the scenario gives both
    _refuse_links(folder)
    try:
        images = datasets.ImageFolder(str(folder), allow_empty=True)
    except OSError as error:
        reason = error.strerror or "no folder in it"
        raise DataError(
            f"{folder}: no folder of images ({reason}); put images there as CLASS/NAME.png, a folder for each class"
        ) from None
    if not images.samples:
        raise DataError(f"{folder}: no image in its folders; expected CLASS/NAME with {', '.join(images.extensions)}")
    files, labels = zip(*images.samples)
    shape = ({"rgb": 3, "grey": 1}[selection.channels], selection.size, selection.size)

    def inputs(rows: Rows, dtype: torch.dtype) -> Tensor:
        return _decoded([Path(files[row]) for row in rows.tolist()], shape, _MODES[selection.channels], dtype)

    return Labelled(str(folder), torch.tensor(labels), shape, inputs, tuple(images.classes), numbered=False)


def _refuse_links(folder: Path) -> None:
    """Refuse links out of the folder, whose aims a stranger may have chosen, and links to folders, which may go round.

    Raises:
        DataError: With the first.
    """
    home = folder.resolve()
    for place, folders, files in os.walk(home):
        for name in folders:
            if os.path.islink(os.path.join(place, name)):
                raise DataError(f"{place}/{name}: a link to a folder; put the images themselves below {folder}")
        for name in files:
            file = Path(place, name)
            if file.is_symlink() and not Path(os.path.realpath(file)).is_relative_to(home):
                raise DataError(f"{file}: a link out of {folder}; put the image itself there")


def _decoded(files: list[Path], shape: tuple[int, ...], mode: str, dtype: torch.dtype) -> Tensor:
    """The pixels of files, one after the other, so that memory is that of the result and of one image."""
    from PIL import Image

    length = int(np.prod(shape))
    needed = len(files) * length * dtype.itemsize
    if needed > _MAX_BYTES:
        raise DataError(
            f"data: {len(files)} images of {shape[1]} x {shape[2]} pixels take {needed / 2**30:.1f} GB, more than "
            f"{_MAX_BYTES / 2**30:g}; set a limit or a smaller size"
        )
    x = torch.empty((len(files), length), dtype=dtype)
    values = x.numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # refused below, at fewer pixels
        for place, file in enumerate(files):
            values[place] = _pixels(file, shape[1], mode)
    return x.div_(255)


def _pixels(file: Path, size: int, mode: str) -> np.ndarray:
    """Grey values of one image, channel first, flattened."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(file, formats=_FORMATS) as image:
            _refuse(file, image)
            found = image.convert(mode)
    except DataError:
        raise
    except UnidentifiedImageError:
        raise DataError(f"{file}: not a readable image; expected one of {', '.join(_FORMATS)}") from None
    except Exception as error:  # whatever a decoder makes of a broken file
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{file}: not a readable image ({reason})") from None
    if found.size != (size, size):
        found = found.resize((size, size), Image.Resampling.BILINEAR)  # Pillow's filter widens as the image shrinks
    pixels = np.asarray(found)
    return (pixels if pixels.ndim == 2 else pixels.transpose(2, 0, 1)).reshape(-1)


def _refuse(file: Path, image: Any) -> None:
    """Refuse what would take too much memory, or would be cut to 8 bits without a word."""
    width, height = image.size
    if width * height > _MOST_PIXELS:
        raise DataError(f"{file}: {width} x {height} pixels; expected at most {_MOST_PIXELS} in all")
    if image.mode.startswith(("I", "F")):
        raise DataError(f"{file}: more than 8 bits for each pixel (mode {image.mode}); expected 8, or an npz file")

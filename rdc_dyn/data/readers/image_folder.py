"""Reads a user's own images CLASS/NAME.ext, brought to one size and colour mode, with values divided by 255."""

import os
import warnings
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from rdc_dyn.data.readers.labelled import DataRows, Labelled
from rdc_dyn.status import DataError

#: Most pixels in an image file: photographs have fewer, and without a limit decoding could exhaust the memory.
_MOST_PIXELS = 2**26
#: Largest array of all chosen images, in bytes.
_MAX_BYTES = 8 * 2**30
#: The formats of torchvision's extensions; Pillow would try others too, whatever the extension.
_FORMATS = ("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP")
_MODES = {"rgb": "RGB", "grey": "L"}


def read_image_folder(folder: Path, size: int, channels: Literal["rgb", "grey"]) -> Labelled:
    """Find the images in a folder with a subfolder for each class; they are decoded when their inputs are asked for.

    Images of another size are resized (antialiased, ignoring their proportions), colours are converted, and
    transparency is dropped. Classes are named after the subfolders, in their order. Raises a DataError if there are no
    subfolders or images, or if there are links to folders or out of the folder.
    """
    from torchvision import datasets

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
    shape = ({"rgb": 3, "grey": 1}[channels], size, size)

    def inputs(rows: DataRows, dtype: torch.dtype) -> Tensor:
        return _decoded([Path(files[row]) for row in rows.tolist()], shape, _MODES[channels], dtype)

    return Labelled(str(folder), torch.tensor(labels), shape, inputs, tuple(images.classes), numbered=False)


def _refuse_links(folder: Path) -> None:
    """Raise a DataError at a link out of the folder (a stranger may have set it) or to a folder (it may loop)."""
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
    """Pixels of the files, decoded one by one, so that memory holds the result and a single image."""
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
    """Pixel values of one image, channel first, flattened; DataError if the file is not readable."""
    from PIL import Image, UnidentifiedImageError

    try:
        if not file.is_file():
            raise DataError(f"{file}: not a readable image (it is no regular file)")
        with Image.open(file, formats=_FORMATS) as image:
            _refuse(file, image)
            found = image.convert(mode)
    except DataError:
        raise
    except UnidentifiedImageError:
        raise DataError(f"{file}: not a readable image; expected one of {', '.join(_FORMATS)}") from None
    except Exception as error:  # decoders raise all kinds of errors on a broken file
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{file}: not a readable image ({reason})") from None
    if found.size != (size, size):
        found = found.resize((size, size), Image.Resampling.BILINEAR)  # Pillow's filter widens as the image shrinks
    pixels = np.asarray(found)
    return (pixels if pixels.ndim == 2 else pixels.transpose(2, 0, 1)).reshape(-1)


def _refuse(file: Path, image: Any) -> None:
    """Raise a DataError for an image that would take too much memory, or be cut to 8 bits silently."""
    width, height = image.size
    if width * height > _MOST_PIXELS:
        raise DataError(f"{file}: {width} x {height} pixels; expected at most {_MOST_PIXELS} in all")
    if image.mode.startswith(("I", "F")):
        raise DataError(f"{file}: more than 8 bits for each pixel (mode {image.mode}); expected 8, or an npz file")

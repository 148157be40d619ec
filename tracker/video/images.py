"""Single images: pictures as RGB, and index masks as PNG with a palette."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from tracker.errors import VideoError
from tracker.video.unfinished import unfinished

IndexMask = NDArray[np.uint8] | NDArray[np.uint16]

# The decoders that may open an image, by Pillow's names. Those of `preinit` come first: Pillow
# loads its fifty others as soon as it meets one that is not there.
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")

# What the JPEG decoder opens; MPO is a JPEG that holds several pictures, as some cameras write it.
_LOSSY = ("JPEG", "MPO")


class DamagedImageError(VideoError):
    """An image that is missing, no image, or cannot be decoded."""


def read_image(path: str | Path) -> NDArray[np.uint8]:
    """Read an image as upright RGB uint8 `hwc`.

    The orientation that cameras store (EXIF) is applied, transparency is dropped, 16-bit images
    are cut to their upper 8 bits, and of an animation the first picture is taken.

    Raises:
        VideoError: if there is no such file, or it is not an image, or a damaged one.
    """
    upright = _upright(_load(Path(path)))
    if upright.mode.startswith("I;16"):
        grey_hw = (np.asarray(upright) >> 8).astype(np.uint8)
        return np.stack([grey_hw] * 3, axis=2)
    if upright.mode in ("I", "F"):
        raise VideoError(f"{path} has 32-bit pixels; save it with 8 bits per channel")
    return np.array(upright.convert("RGB"))


def read_index_mask(path: str | Path, *, literal: bool = False) -> IndexMask:
    """Read an index mask `hw`: 0 is background, other values are object ids.

    Palette and grey images give the values they store (uint8, or uint16 for 16-bit grey). An
    image of nothing but 0 and its greatest value (255 or 65535) is a binary mask and comes back
    with 0 and 1, unless `literal`, which is for masks whose greatest value has a meaning of its
    own. So does a JPEG, cut at half: its values are too inexact to be ids.

    Raises:
        VideoError: if it cannot be read, or is a colour image.
    """
    image = _load(Path(path))
    index_hw = _single_channel(image, path)
    greatest = np.iinfo(index_hw.dtype).max
    if image.format in _LOSSY:
        return (index_hw > greatest // 2).astype(np.uint8)
    if not literal and np.isin(index_hw, (0, greatest)).all():
        return (index_hw == greatest).astype(np.uint8)
    return index_hw


def write_index_mask(path: str | Path, index_hw: IndexMask) -> None:
    """Write an index mask as PNG: uint8 with the palette of DAVIS, uint16 as 16-bit grey.

    The file appears under its name only when it is complete.

    Raises:
        VideoError: if the array is no index mask, or the file cannot be written.
    """
    if index_hw.ndim != 2 or index_hw.dtype not in (np.uint8, np.uint16) or not index_hw.size:
        raise VideoError(
            f"{path}: an index mask is a uint8 or uint16 array of shape (height, width), "
            f"not {index_hw.dtype} of shape {index_hw.shape}"
        )
    image = Image.fromarray(np.ascontiguousarray(index_hw))
    if index_hw.dtype == np.uint8:
        image.putpalette(index_palette().tobytes())
    with unfinished(Path(path)) as temporary:
        # Run lengths are what such a picture consists of: half the time, and smaller files.
        image.save(temporary, format="PNG", compress_level=1, compress_type=zlib.Z_RLE)


def index_palette() -> NDArray[np.uint8]:
    """The colours of ids 0 to 255, RGB uint8, shape (256, 3), as VOC and DAVIS paint them.

    The bits of an id are dealt out to red, green and blue in turn, the lowest three becoming the
    highest bit of each channel, the next three the second highest, and so on.
    """
    ids = np.arange(256)
    palette_n3 = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        channel, place = bit % 3, 7 - bit // 3
        palette_n3[:, channel] |= (((ids >> bit) & 1) << place).astype(np.uint8)
    return palette_n3


def _load(path: Path) -> Image.Image:
    """Open and decode an image file with one of the known decoders."""
    Image.preinit()
    try:
        image = Image.open(path, formats=_FORMATS)
        image.load()
        return image
    except FileNotFoundError as error:
        raise DamagedImageError(f"no such image: {path}") from error
    except Image.UnidentifiedImageError as error:
        raise DamagedImageError(f"{path} is not an image that can be read") from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DamagedImageError(f"cannot decode the image {path}: {error}") from error


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except (struct.error, SyntaxError, TypeError, ValueError):
        return image  # the EXIF data are damaged, the picture is not


def _single_channel(image: Image.Image, path: str | Path) -> IndexMask:
    """The stored values of a palette or grey image; of a colour image whose channels agree, one."""
    if image.mode in ("P", "L"):
        return np.array(image)
    if image.mode == "1":
        return np.array(image).astype(np.uint8)
    if image.mode.startswith("I;16"):
        return np.array(image).astype(np.uint16)
    if image.mode in ("RGB", "RGBA", "LA"):
        rgb_hwc = np.array(image.convert("RGB"))
        if (rgb_hwc == rgb_hwc[..., :1]).all():
            return np.ascontiguousarray(rgb_hwc[..., 0])
    raise VideoError(
        f"{path} is a colour image (mode {image.mode}), not an index mask; save the mask as a "
        "PNG with a palette or in grey"
    )

"""A folder of images as a video: one frame per image, in the order people would count them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tracker.errors import VideoError
from tracker.types import VideoInfo
from tracker.video.decoder import Picture, ProblemList
from tracker.video.images import DamagedImageError, read_image
from tracker.video.sniffing import image_format

# Images carry no times; 24 frames/s is the rate of DAVIS, the best known folders of frames.
IMAGE_RATE = Fraction(24)


class ImageFolderDecoder:
    """Decodes images, by their content whatever their names, in natural order (2 before 10).

    Other files, hidden files and subfolders are passed over. Time stamps count frames at
    `IMAGE_RATE`. An image that cannot be decoded is reported and the image before it stands in,
    so that every image keeps its index and its name.

    Args:
        folder: the folder, or the path by which a single image was named.
        only: these images instead of all that the folder holds.

    Raises:
        VideoError: if there is no image, or the first cannot be decoded, or two have one stem.
    """

    def __init__(self, folder: Path, only: Sequence[Path] | None = None) -> None:
        self._images = list(only) if only is not None else _images_in(folder)
        self.problems = ProblemList()
        self.packets_decoded = 0
        self._first: NDArray[np.uint8] | None = None  # once decoded for its size, until it is read
        self._first = self._read(0)
        height, width = self._first.shape[:2]
        self.info = VideoInfo(
            path=str(folder),
            width=width,
            height=height,
            frame_rate=IMAGE_RATE,
            time_base=1 / IMAGE_RATE,
            frame_count=len(self._images),
            stems=tuple(image.stem for image in self._images),
        )

    def walk(self, first: int) -> Iterator[Picture]:
        for index in range(self.walk_start(first), len(self._images)):
            yield Picture(index, index, partial(self._upright_or_before, index))

    def walk_start(self, first: int) -> int:
        return min(first, len(self._images) - 1)

    def close(self) -> None:
        self._images, self._first = [], None

    def _read(self, index: int) -> NDArray[np.uint8]:
        if index == 0 and self._first is not None:
            first, self._first = self._first, None
            return first
        self.packets_decoded += 1
        return read_image(self._images[index])

    def _upright_or_before(self, index: int) -> NDArray[np.uint8]:
        """The image at `index`, or the nearest before it that can be decoded."""
        for candidate in range(index, -1, -1):
            try:
                return self._checked(candidate)
            except DamagedImageError as error:
                message = f"{error}; the image before it stands in"
                self.problems.report(float(candidate / IMAGE_RATE), message)
        raise VideoError(f"no image of {self.info.path} up to {self._images[index]} can be read")

    def _checked(self, index: int) -> NDArray[np.uint8]:
        image_hwc = self._read(index)
        height, width = image_hwc.shape[:2]
        if (width, height) != (self.info.width, self.info.height):
            raise VideoError(
                f"{self._images[index]} is {width}x{height} pixels but the first image is "
                f"{self.info.width}x{self.info.height}; all images of a video have one size"
            )
        return image_hwc


def natural_key(name: str) -> tuple[list[str | int], str]:
    """A sort key under which `frame2` comes before `frame10`."""
    parts = re.split(r"([0-9]+)", name)
    # Text and numbers alternate, so that like is always compared with like.
    return [int(part) if i % 2 else part.lower() for i, part in enumerate(parts)], name


def _images_in(folder: Path) -> list[Path]:
    try:
        files = [p for p in folder.iterdir() if p.is_file() and not p.name.startswith(".")]
    except OSError as error:
        raise VideoError(f"cannot read the folder {folder}: {error.strerror}") from error
    images = sorted((p for p in files if image_format(p)), key=lambda p: natural_key(p.name))
    if not images:
        raise VideoError(f"there is no image in {folder}; name a video or a folder of images")
    by_stem: dict[str, Path] = {}
    for image in images:
        other = by_stem.setdefault(image.stem, image)
        if other is not image:
            raise VideoError(
                f"{other.name} and {image.name} in {folder} differ only in their suffix; masks are "
                "named by the stem, so keep one of them or move it elsewhere"
            )
    return images

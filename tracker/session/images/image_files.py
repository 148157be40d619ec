"""Which images a user means: files and folders, in the order people would count them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tracker.errors import VideoError
from tracker.video import image_format
from tracker.video.image_folder import natural_key

# What claims to be an image by its name is taken for one, so that a damaged file is reported and
# not passed over.
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"})


@dataclass(frozen=True)
class ImageFile:
    """An image to work on, not read yet; `index` is its place among all, from 0."""

    path: Path
    index: int

    @property
    def stem(self) -> str:
        return self.path.stem

    @cached_property
    def sha256(self) -> str:
        """Of the file's bytes. Raises VideoError when it cannot be read."""
        try:
            return hashlib.sha256(self.path.read_bytes()).hexdigest()
        except OSError as error:
            raise VideoError(f"cannot read {self.path}: {error.strerror or error}") from error


def find_images(paths: Iterable[Path]) -> tuple[ImageFile, ...]:
    """The images that `paths` name: files as given, folders by what lies in them (2 before 10).

    Hidden files, subfolders and files that are no images are passed over in folders.

    Raises:
        VideoError: when something is missing, there is no image, or two images have one stem:
            everything written about an image is named by it.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            files += _in_folder(path)
        elif path.is_file():
            files.append(path)
        else:
            raise VideoError(f"no such image or folder: {path}")
    if not files:
        raise VideoError("there is no image in the folder; name images or a folder of images")
    by_stem: dict[str, Path] = {}
    for file in files:
        other = by_stem.setdefault(file.stem, file)
        if other is not file:
            raise VideoError(
                f"{other} and {file} have the same name but for their suffix or folder; results "
                "are named by it, so rename one of them or take them one after the other"
            )
    return tuple(ImageFile(path, index) for index, path in enumerate(files))


def _in_folder(folder: Path) -> list[Path]:
    try:
        files = [p for p in folder.iterdir() if p.is_file() and not p.name.startswith(".")]
    except OSError as error:
        raise VideoError(f"cannot read the folder {folder}: {error.strerror}") from error
    images = [p for p in files if p.suffix.lower() in SUFFIXES or image_format(p)]
    return sorted(images, key=lambda path: natural_key(path.name))

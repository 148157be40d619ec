"""What a run was made with: which video, which versions, which weights."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tracker.errors import RunError, VideoError

_END_BYTES = 1 << 20
_PACKAGES = ("torch", "sam2", "transformers", "av", "opencv-python", "supervision", "numpy")


@dataclass(frozen=True)
class VideoIdentity:
    """Enough of a video's bytes to notice that another one has taken its place.

    Attributes:
        path: absolute.
        bytes: size of the file, or of all files of a folder.
        sha256_ends: SHA-256 over the first and the last megabyte of the file; of a folder, over
            its files' names and sizes and the ends of its first and last file.
    """

    path: str
    bytes: int
    sha256_ends: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class ModelIdentity:
    """A loaded model: its name in the registry, the hash of its weights, its image size."""

    name: str
    sha256: str
    image_size: int | None = None

    def to_json(self) -> dict[str, Any]:
        return {key: value for key, value in asdict(self).items() if value is not None}


IMPORTED = ModelIdentity("imported", "")
"""Stands where a run names its SAM2 model, when others have drawn its masks."""


def identify_video(path: str | Path) -> VideoIdentity:
    """Identify a video file or a folder of images without reading all of it.

    Raises:
        VideoError: when it cannot be read.
    """
    path = Path(path).resolve()
    digest = hashlib.sha256()
    try:
        if not path.is_dir():
            _add_ends(digest, path)
            return VideoIdentity(str(path), path.stat().st_size, digest.hexdigest())
        files = sorted(file for file in path.iterdir() if file.is_file())
        sizes = [file.stat().st_size for file in files]
        for file, size in zip(files, sizes, strict=True):
            digest.update(f"{file.name} {size}\n".encode())
        for file in files[:1] + files[1:][-1:]:
            _add_ends(digest, file)
        return VideoIdentity(str(path), sum(sizes), digest.hexdigest())
    except OSError as error:
        raise VideoError(f"cannot read {path}: {error.strerror or error}") from error


def check_unchanged(was: VideoIdentity, run: Path) -> None:
    """Raise RunError when another video has taken the place of the one that a run was made from."""
    now = identify_video(was.path)
    if (now.bytes, now.sha256_ends) != (was.bytes, was.sha256_ends):
        raise RunError(f"{was.path} is not the video that {run} was made from: it has changed")


def versions() -> dict[str, str]:
    """The versions of track and of the packages that masks depend on."""
    return {name: _version(name) for name in ("track", *_PACKAGES)}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def _add_ends(digest: Any, file: Path) -> None:
    size = file.stat().st_size
    with file.open("rb") as stream:
        digest.update(stream.read(_END_BYTES))
        if size > _END_BYTES:
            stream.seek(max(_END_BYTES, size - _END_BYTES))
            digest.update(stream.read(_END_BYTES))

"""What a file is, told from its first bytes, whatever its name says."""

from __future__ import annotations

from pathlib import Path

from tracker.errors import VideoError

_IMAGE_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
)

_PLAYLIST_SIGNATURES = (b"#EXTM3U", b"ffconcat", b"[playlist]")


def read_head(path: Path) -> bytes:
    """The first bytes of a regular file, at most 16.

    Raises:
        VideoError: if there is no such file, it is no regular file, or it cannot be read.
    """
    if not path.exists():
        raise VideoError(f"no such file or folder: {path}")
    if not path.is_file():  # opening a pipe would wait for ever
        raise VideoError(f"{path} is not a regular file")
    try:
        with open(path, "rb") as file:
            return file.read(16)
    except OSError as error:
        raise VideoError(f"cannot read {path}: {error.strerror}") from error


def image_format(path: Path) -> str | None:
    """The format of an image file (PNG, JPEG, WEBP, BMP, GIF, TIFF), or None if it is no image.

    Raises:
        VideoError: if the file cannot be read.
    """
    head = read_head(path)
    for signature, name in _IMAGE_SIGNATURES:
        if head.startswith(signature):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[:2] == b"BM" and head[6:10] == bytes(4):  # two reserved fields that are always 0
        return "BMP"
    return None


def is_playlist(head: bytes) -> bool:
    """Whether a file that begins like this names other files instead of holding a video."""
    return head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(_PLAYLIST_SIGNATURES)

"""Videos and images: reading them lazily, writing them whole.

The names below are loaded when they are first used, so that those who bring frames of their own
need no decoder.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tracker.video.decoder import DecodeProblem
    from tracker.video.images import index_palette, read_image, read_index_mask, write_index_mask
    from tracker.video.reader import ReaderName, VideoReader, open_video
    from tracker.video.sniffing import image_format
    from tracker.video.writer import VideoWriter

_HOMES = {
    "DecodeProblem": "decoder",
    "ReaderName": "reader",
    "VideoReader": "reader",
    "VideoWriter": "writer",
    "image_format": "sniffing",
    "index_palette": "images",
    "open_video": "reader",
    "read_image": "images",
    "read_index_mask": "images",
    "write_index_mask": "images",
}

__all__ = [
    "DecodeProblem",
    "ReaderName",
    "VideoReader",
    "VideoWriter",
    "image_format",
    "index_palette",
    "open_video",
    "read_image",
    "read_index_mask",
    "write_index_mask",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tracker.video' has no attribute {name!r}")
    return getattr(import_module(f"tracker.video.{_HOMES[name]}"), name)

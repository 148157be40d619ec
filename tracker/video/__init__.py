"""Videos and images: reading them lazily, writing them whole."""

from tracker.video.decoder import DecodeProblem
from tracker.video.images import index_palette, read_image, read_index_mask, write_index_mask
from tracker.video.reader import ReaderName, VideoReader, open_video
from tracker.video.sniffing import image_format
from tracker.video.writer import VideoWriter

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

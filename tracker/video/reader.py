"""Reading videos: open anything, walk it lazily, or jump to a frame, with bounded memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from tracker.errors import VideoError
from tracker.types import Frame, VideoInfo
from tracker.video.decoder import DecodeProblem, Decoder, Picture
from tracker.video.image_folder import ImageFolderDecoder
from tracker.video.ring import FrameRing, ring_capacity
from tracker.video.sniffing import image_format

ReaderName = Literal["pyav", "decord"]

_READ_AHEAD = 2


def open_video(path: str | Path, reader: ReaderName = "pyav") -> VideoReader:
    """Open a video file, a folder of images or one image, by its content, never by its name.

    Args:
        path: a local file or folder. Playlists and network addresses are refused.
        reader: the library that decodes files, `pyav` or `decord`; docs/video.md tells how they
            differ. Images are read the same way with both.

    Returns:
        A reader; close it, or use it as a context manager. At most the first frames were decoded.

    Raises:
        VideoError: if there is nothing to read, or it is not a video.
    """
    if reader not in get_args(ReaderName):
        known = ", ".join(get_args(ReaderName))
        raise VideoError(f"unknown reader {reader!r}; known: {known}")
    return VideoReader(_open_decoder(Path(path), reader))


def _open_decoder(path: Path, reader: ReaderName) -> Decoder:
    if path.is_dir():
        return ImageFolderDecoder(path)
    if image_format(path) not in (None, "GIF"):
        return ImageFolderDecoder(path, only=[path])
    if reader == "decord":
        from tracker.video.decord_decoder import DecordDecoder

        return DecordDecoder(path)
    from tracker.video.pyav_decoder import PyAVDecoder  # images have no need of its libraries

    return PyAVDecoder(path)


class VideoReader:
    """Frames of one open video, in order or by index; a context manager.

    The last frames that were read (at most 64, fewer when they are large) are kept and shared:
    their images are read-only, copy them to draw on them. One thread at a time reads; others
    wait for it.

    Attributes:
        info: what is known of the video; `info.frame_count` is a claim for files.
    """

    info: VideoInfo

    def __init__(self, decoder: Decoder) -> None:
        self.info = decoder.info
        self._decoder = decoder
        self._ring = FrameRing(ring_capacity(self.info.width, self.info.height))
        self._walk: Iterator[Picture] | None = None
        self._next = 0  # the index that the walk yields next
        self._last_read = -1
        self._end: int | None = None  # the number of frames, once the end was seen
        self._closed = False
        self._lock = threading.Lock()

    @property
    def problems(self) -> list[DecodeProblem]:
        """What was damaged so far, in the order it was met; grows while frames are decoded."""
        return self._decoder.problems

    @property
    def frames_held(self) -> int:
        """How many decoded frames are in memory."""
        return len(self._ring)

    @property
    def read_ahead(self) -> int:
        """How many frames may be read before they are wanted, without losing the newest five."""
        return max(0, min(_READ_AHEAD, self._ring.capacity - 5))

    @property
    def packets_decoded(self) -> int:
        """How many encoded frames were handed to the decoder so far, repetitions counted."""
        return self._decoder.packets_decoded

    def frames(self, start: int = 0, end: int | None = None, stride: int = 1) -> Iterator[Frame]:
        """Every `stride`-th frame from index `start` up to `end` (exclusive), decoded lazily.

        Stops at the end of the video, wherever `end` is. Calls of `read` in between do no harm.

        Raises:
            VideoError: for a range that cannot be.
        """
        if start < 0 or stride < 1 or (end is not None and end < start):
            raise VideoError(
                f"frames {start} to {'the end' if end is None else end} in steps of {stride}: the "
                "start must be 0 or more, the end not before it, and the step 1 or more"
            )
        return self._frames(start, end, stride)

    def _frames(self, start: int, end: int | None, stride: int) -> Iterator[Frame]:
        index = start
        while end is None or index < end:
            try:
                frame = self.read(index)
            except IndexError:
                return
            yield frame
            index += stride

    def read(self, index: int) -> Frame:
        """The frame at `index`, from 0.

        Reading on is cheap, reading backwards decodes one stretch for every ring of frames, and a
        jump back to a place that was read before decodes from the keyframe in front of it.

        Raises:
            IndexError: if `index` is negative or past the last frame.
            VideoError: if the reader is closed, or the source can no longer be read.
        """
        with self._lock:
            if self._closed:
                raise VideoError(f"{self.info.path} was closed; open it again to read frames")
            if index < 0 or (self._end is not None and index >= self._end):
                raise IndexError(f"{self.info.path} has no frame {index}")
            try:
                frame = self._ring.get(index) or self._decode(index)
            except BaseException:
                self._walk = None  # an exception has ended it, wherever it stood
                raise
            self._last_read = index
            return frame

    def _decode(self, index: int) -> Frame:
        """Walk to `index`, keeping what a walk backwards will want next."""
        backwards = index < self._last_read <= index + self._ring.capacity
        first = max(0, index - self._ring.capacity + 1) if backwards else index
        for picture in self._aim(first):
            self._next = picture.index + 1
            if picture.index < first:
                continue
            frame = Frame(picture.index, picture.pts, _read_only(picture.to_rgb()))
            self._ring.put(frame)
            if picture.index == index:
                return frame
        self._end = self._next
        raise IndexError(f"{self.info.path} has {self._end} frames, so no frame {index}")

    def _aim(self, first: int) -> Iterator[Picture]:
        """The walk under way if none leads to `first` on a shorter way, else a new one."""
        start = self._decoder.walk_start(first)
        if self._walk is None or not start <= self._next <= first:
            self._walk = self._decoder.walk(first)
            self._next = start
        return self._walk

    def close(self) -> None:
        """Let go of the source and of all frames. Closing twice is fine."""
        with self._lock:
            self._closed, self._walk = True, None
            self._ring.clear()
            self._decoder.close()

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _read_only(image_hwc: NDArray[np.uint8]) -> NDArray[np.uint8]:
    image_hwc.flags.writeable = False
    return image_hwc

"""Videos with transparency: ProRes 4444 in `.mov`, VP9 in `.webm`."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream
from numpy.typing import NDArray

from tracker.errors import VideoError

_ALIGNED = 16


@dataclass(frozen=True)
class _Kind:
    """How a suffix is encoded.

    Attributes:
        even: sides must be even, since colour has half the resolution.
        time_base: that the container writes; None for any.
    """

    codec: str
    pixel_format: str
    options: dict[str, str]
    even: bool = False
    time_base: Fraction | None = None


_KINDS = {
    ".mov": _Kind("prores_ks", "yuva444p10le", {"profile": "4444", "alpha_bits": "16"}),
    ".webm": _Kind(
        "libvpx-vp9",
        "yuva420p",
        {"crf": "18", "b": "0", "deadline": "good", "cpu-used": "4", "auto-alt-ref": "0"},
        even=True,
        time_base=Fraction(1, 1000),
    ),
}


class AlphaVideo:
    """Writes RGBA frames; the suffix of the path chooses ProRes or VP9.

    The first frame is shown at 0. ProRes keeps size, time stamps and alpha exactly. WebM rounds
    times to milliseconds, VP9 loses a little, and sides of odd length get one transparent pixel.

    Raises:
        VideoError: when the file cannot be written.
    """

    def __init__(
        self, path: Path, *, width: int, height: int, frame_rate: Fraction, time_base: Fraction
    ) -> None:
        self._path, self._kind = path, _KINDS[path.suffix]
        self._source_base = time_base
        self._first_pts: int | None = None
        self._pad = (height % 2, width % 2) if self._kind.even else (0, 0)
        unit = self._kind.time_base or time_base
        try:
            self._output = av.open(f"file:{path.absolute()}", "w")
            options = dict(self._kind.options)
            stream = self._output.add_stream(self._kind.codec, frame_rate, options)
        except (av.FFmpegError, OSError) as error:
            raise _cannot_write(path, error) from error
        assert isinstance(stream, VideoStream)
        stream.width, stream.height = width + self._pad[1], height + self._pad[0]
        stream.pix_fmt = self._kind.pixel_format
        stream.codec_context.time_base = self._unit = unit
        self._stream = stream

    def write(self, image_hwc: NDArray[np.uint8], pts: int) -> None:
        """Add an RGBA frame, or an RGB frame that is opaque; pts must rise."""
        if image_hwc.shape[2] == 3:
            opaque_hw = np.full(image_hwc.shape[:2], 255, np.uint8)
            image_hwc = np.dstack([image_hwc, opaque_hw])
        padding = ((0, self._pad[0]), (0, self._pad[1]), (0, 0))
        rgba_hwc = np.ascontiguousarray(np.pad(image_hwc, padding))
        if self._first_pts is None:
            self._first_pts = pts
        picture = _converted(rgba_hwc, self._kind.pixel_format)
        picture.time_base = self._unit
        picture.pts = round((pts - self._first_pts) * self._source_base / self._unit)
        self._encode(picture)

    def close(self) -> None:
        """Finish the file. Raises VideoError when that fails."""
        self._encode(None)
        try:
            self._output.close()
        except (av.FFmpegError, OSError) as error:
            raise _cannot_write(self._path, error) from error

    def discard(self) -> None:
        """Close without caring for the file."""
        with suppress(av.FFmpegError, OSError):
            self._output.close()

    def _encode(self, picture: VideoFrame | None) -> None:
        try:
            self._output.mux(self._stream.encode(picture))
        except (av.FFmpegError, OSError) as error:
            raise _cannot_write(self._path, error) from error


def _converted(rgba_hwc: NDArray[np.uint8], pixel_format: str) -> VideoFrame:
    """A picture in BT.709, alpha included.

    FFmpeg now and then spoils the end of rows that are no multiple of 16 pixels long, so they are
    while it converts.
    """
    height, width = rgba_hwc.shape[:2]
    aligned_hwc = np.pad(rgba_hwc, ((0, 0), (0, -width % _ALIGNED), (0, 0)), mode="edge")
    converted = VideoFrame.from_ndarray(np.ascontiguousarray(aligned_hwc), format="rgba").reformat(
        format=pixel_format, dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
    )
    picture = VideoFrame(width, height, pixel_format)
    picture.colorspace, picture.color_range = converted.colorspace, converted.color_range
    for target, source in zip(picture.planes, converted.planes, strict=True):
        rows = np.frombuffer(memoryview(source), np.uint8).reshape(-1, source.line_size)
        cut = rows[:, : target.line_size]
        spare = target.line_size - cut.shape[1]
        target.update(np.pad(cut, ((0, 0), (0, spare))).tobytes())
    return picture


def _cannot_write(path: Path, error: av.FFmpegError | OSError) -> VideoError:
    return VideoError(f"cannot write {path}: {error.strerror or error}")

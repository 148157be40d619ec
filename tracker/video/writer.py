"""Writing videos: H.264 in MP4 that browsers play, with the times and the sound of a source."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from math import gcd
from pathlib import Path
from types import TracebackType

import av
import cv2
import numpy as np
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream
from numpy.typing import NDArray

from tracker.errors import VideoError
from tracker.video.audio import AudioTracks
from tracker.video.decoder import DecodeProblem, ProblemList
from tracker.video.sniffing import image_format
from tracker.video.unfinished import UnfinishedFile

_BT709 = 1  # ITU-T H.273: one code point for primaries, transfer and matrix alike

# No B-frames: frames are stored in the order in which they are shown, so that the video starts at
# 0 in every player, also in those that ignore edit lists. The lookahead lets x264 spend bits where
# later frames refer to: beside `veryfast` the same PSNR in 20 to 35 % less time, for 10 to 20 %
# more bytes.
_ENCODER_OPTIONS = {
    **{"preset": "superfast", "crf": "20", "bf": "0"},
    **{"rc-lookahead": "10", "mbtree": "1"},
}

# x264's AVX-512 code for mbtree takes in what happens to lie in memory: of a hundred files of the
# same frames up to three came out otherwise. Its AVX2 code always gives the same, and is no slower.
_AVX512_SKX = 256  # OpenCV's cv::CpuFeatures: the set that x264 asks for; Python has no name for it
_AVX2_CODE = {"x264-params": "asm=avx2,fma3,lzcnt,bmi1,bmi2"}

_KEYFRAME_INTERVAL_S = 2  # a jump in a player decodes this much at most


class VideoWriter:
    """Writes frames to an MP4 file; a context manager.

    The video is H.264, yuv420p, BT.709, with `moov` in front. It is written under a temporary name
    beside `path` and takes its place (replacing what stood there) when it is closed; after an error
    or an exception nothing is left. A frame is shown from its own time stamp to the next one's, and
    the first is shifted to 0. Sides of odd length get one more pixel, a copy of the last row or
    column, since 4:2:0 has no odd sizes; frames are never scaled.

    Args:
        path: the file to write; its folder must exist.
        width, height: of the frames that will be written, in pixels.
        frame_rate: the average rate in frames per second, exact.
        time_base: seconds per unit of pts, exact.
        audio_from: a media file whose sound is carried over, cut and shifted with the frames. Its
            clock must be that of the frames' pts, as it is when they were read from it. None,
            images and videos without sound give a silent video.

    Raises:
        VideoError: if the file cannot be written there, or `audio_from` not be opened.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        width: int,
        height: int,
        frame_rate: Fraction,
        time_base: Fraction,
        audio_from: str | Path | None = None,
    ) -> None:
        if width < 1 or height < 1 or frame_rate <= 0 or time_base <= 0:
            raise VideoError(f"cannot write {path}: size, rate and time base must be above 0")
        self._path = Path(path)
        self._width, self._height = width, height
        self._frame_rate, self._time_base = frame_rate, time_base
        self._unit = _common_unit(time_base, 1 / frame_rate)
        self._problems = ProblemList()
        self._frames_written = 0
        self._first_pts = self._last_pts = self._last_step = 0
        self._held: Packet | None = None  # the newest packet, until its duration is known
        self._audio: AudioTracks | None = None
        self._closed = False
        self._file = UnfinishedFile(self._path)
        with self._discarding():
            target = f"file:{self._file.temporary.absolute()}"
            options = {"movflags": "faststart"}
            self._output = av.open(target, "w", format="mp4", options=options)
            self._stream = self._add_stream()
            if audio_from is not None and _may_sound(Path(audio_from)):
                self._audio = AudioTracks(Path(audio_from), self._output, self._problems)

    @property
    def problems(self) -> list[DecodeProblem]:
        """What could not be carried over as it was; grows while writing."""
        return self._problems

    @property
    def frames_written(self) -> int:
        return self._frames_written

    def write(self, image_hwc: NDArray[np.uint8], pts: int) -> None:
        """Add a frame.

        Args:
            image_hwc: RGB uint8 of the size that was announced.
            pts: presentation time stamp in units of `time_base`, greater than the one before.

        Raises:
            VideoError: if the frame does not fit (nothing is written then), or writing fails (the
                writer is closed then, and the file removed).
        """
        self._check(image_hwc, pts)
        with self._discarding():
            if self._frames_written == 0:
                self._first_pts = pts
                if self._audio:
                    self._audio.start(pts * self._time_base)
            else:
                self._last_step = pts - self._last_pts
            self._last_pts = pts
            self._frames_written += 1
            if self._audio:
                self._audio.advance(pts * self._time_base)
            self._mux(self._stream.encode(self._picture(image_hwc, pts)))

    def close(self) -> None:
        """Finish the file and put it in its place. Closing twice is fine.

        Raises:
            VideoError: if no frame was written, or the file cannot be finished; nothing is left.
        """
        if self._closed:
            return
        with self._discarding():
            if self._frames_written == 0:
                raise VideoError(f"cannot write {self._path}: a video needs at least one frame")
            self._mux(self._stream.encode(None))
            last_duration_s = self._last_duration()
            if self._held is not None:
                self._held.duration = max(1, round(last_duration_s / self._unit))
                self._output.mux(self._held)
            if self._audio:
                self._audio.finish(self._last_pts * self._time_base + last_duration_s)
                self._audio.close()
            self._output.close()
            self._file.finish()
        self._closed = True

    def discard(self) -> None:
        """Give up: close without leaving a file."""
        if self._closed:
            return
        self._closed = True
        self._file.discard()  # first, lest closing the output spends time on a complete file
        if self._audio:
            self._audio.close()
        with suppress(av.FFmpegError, OSError, AttributeError):  # it may never have been opened
            self._output.close()

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        else:
            self.discard()

    @contextmanager
    def _discarding(self) -> Iterator[None]:
        """Leave nothing behind when the block fails; a failure to write becomes a VideoError."""
        try:
            yield
        except (av.FFmpegError, OSError) as error:
            self.discard()
            raise VideoError(f"cannot write {self._path}: {error.strerror or error}") from error
        except BaseException:
            self.discard()
            raise

    def _add_stream(self) -> VideoStream:
        code = _AVX2_CODE if cv2.checkHardwareSupport(_AVX512_SKX) else {}
        options = _ENCODER_OPTIONS | code
        stream = self._output.add_stream("libx264", self._frame_rate, options)
        stream.width = self._width + self._width % 2
        stream.height = self._height + self._height % 2
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.time_base = self._unit
        context.gop_size = max(1, round(_KEYFRAME_INTERVAL_S * self._frame_rate))
        context.color_primaries = context.color_trc = context.colorspace = _BT709
        context.color_range = ColorRange.MPEG
        return stream

    def _check(self, image_hwc: NDArray[np.uint8], pts: int) -> None:
        if self._closed:
            raise VideoError(f"{self._path} is closed; no frame can be added")
        if image_hwc.shape != (self._height, self._width, 3) or image_hwc.dtype != np.uint8:
            raise VideoError(
                f"cannot write to {self._path}: frames are uint8 of shape ({self._height}, "
                f"{self._width}, 3), not {image_hwc.dtype} of shape {image_hwc.shape}"
            )
        if self._frames_written and pts <= self._last_pts:
            raise VideoError(
                f"cannot write to {self._path}: the pts of frames must rise, but {pts} follows "
                f"{self._last_pts}"
            )

    def _picture(self, image_hwc: NDArray[np.uint8], pts: int) -> VideoFrame:
        odd = (0, self._height % 2), (0, self._width % 2), (0, 0)
        even_hwc = np.pad(image_hwc, odd, mode="edge") if odd[0][1] or odd[1][1] else image_hwc
        shared = VideoFrame.from_numpy_buffer(np.ascontiguousarray(even_hwc), format="rgb24")
        picture = shared.reformat(
            format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
        )
        picture.time_base = self._unit
        picture.pts = int((pts - self._first_pts) * self._time_base / self._unit)
        return picture

    def _mux(self, packets: Iterable[Packet]) -> None:
        for packet in packets:
            if self._held is not None:
                self._output.mux(self._held)
            self._held = packet

    def _last_duration(self) -> Fraction:
        """How long the last frame is shown, in seconds.

        So long that the average rate of the file is `frame_rate`, if that is what the frames add up
        to but for the last; else as long as the one before it.
        """
        one_frame = 1 / self._frame_rate
        shown = (self._last_pts - self._first_pts) * self._time_base
        rest = self._frames_written * one_frame - shown
        if 0 < rest < 2 * one_frame:
            return rest
        return self._last_step * self._time_base or one_frame


def _common_unit(time_base: Fraction, frame_duration: Fraction) -> Fraction:
    """The largest unit of which both are multiples, so that neither is ever rounded.

    Time stamps in milliseconds, say, cannot express the average rate of 30000/1001 frames/s. Where
    the unit would be too small for FFmpeg (31 bits), time stamps win.
    """
    a, b = time_base, frame_duration
    unit = Fraction(
        gcd(a.numerator * b.denominator, b.numerator * a.denominator), a.denominator * b.denominator
    )
    return unit if unit.denominator < 2**31 else time_base


def _may_sound(source: Path) -> bool:
    return not source.is_dir() and (not source.is_file() or image_format(source) is None)

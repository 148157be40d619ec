"""decord as a second decoder, for the files on which it agrees with the container.

decord trusts where it should ask: it makes up frames where an edit list hides some, returns others
than the wanted ones when it misplaces keyframes, and takes damage for the end. So a file is opened
only if decord finds the frames and keyframes that the container shows; the exact time stamps come
from the container; and the first damage ends the video. docs/video.md lists the differences.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray

from tracker.errors import VideoError
from tracker.types import VideoInfo
from tracker.video.container import frame_rate, open_container, picture_stream, promised_end
from tracker.video.damage import early_end
from tracker.video.decoder import Picture, ProblemList

# decord's random access returns other frames than the wanted ones from these formats (from AVI,
# where it holds B-frames).
_WRONG_FRAMES_FROM = {"mpegts", "mpeg", "avi"}


class DecordDecoder:
    """Decodes a media file with decord; see `tracker.video.decoder.Decoder`.

    Raises:
        VideoError: if decord is missing, cannot open the file, or cannot be trusted with it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.problems = ProblemList()
        self.packets_decoded = 0
        with open_container(path) as container:
            stream = picture_stream(container, path)
            if container.format.name in _WRONG_FRAMES_FROM:
                raise self._refusal(f"it returns wrong frames from {container.format.long_name}")
            self._rate = frame_rate(stream)
            self._time_base = stream.time_base or 1 / self._rate
            self._promised_end = promised_end(container, stream)
            self._end_s = Fraction(0)
            try:
                self._pts, keyframes = self._shown_frames(container, stream)
            except (av.FFmpegError, IndexError) as error:
                raise self._refusal("the file is damaged") from error
            has_audio = bool(container.streams.audio)
        self._video: Any = self._open(keyframes)
        self._position = 0  # the index that decord decodes next
        self._delivered = 0  # how many frames have come out, from the beginning
        try:
            height, width = self._rgb(self._decode(0)).shape[:2]
        except Exception as error:  # decord raises bare exceptions of several kinds
            raise self._refusal("it cannot decode the first frame") from error
        self.info = VideoInfo(
            path=str(path),
            width=width,
            height=height,
            frame_rate=self._rate,
            time_base=self._time_base,
            frame_count=len(self._pts),
            has_audio=has_audio,
        )

    def walk_start(self, first: int) -> int:
        return min(first, len(self._pts) - 1)

    def walk(self, first: int) -> Iterator[Picture]:
        for index in range(self.walk_start(first), len(self._pts)):
            try:
                frame = self._decode(index)
            except Exception as error:  # decord raises bare exceptions of several kinds
                if index < self._delivered:
                    raise self._refusal("it cannot go back in a damaged file") from error
                time_s = float(self._pts[index] * self._time_base)
                self.problems.report(time_s, "decord can decode no further; the pyav reader can")
                return
            self._delivered = max(self._delivered, index + 1)
            yield Picture(index, self._pts[index], partial(self._rgb, frame))
        message = early_end(self._end_s, self._promised_end, self._rate)
        if message:
            self.problems.report(float(self._pts[-1] * self._time_base), message)

    def close(self) -> None:
        self._video = None

    def _open(self, keyframes: list[int]) -> Any:
        try:
            import decord
        except ImportError as error:
            raise VideoError(
                "decord is not installed on this machine; use the pyav reader"
            ) from error
        decord.logging.set_level(decord.logging.QUIET)  # problems are reported, not printed
        try:
            video = decord.VideoReader(str(self._path.absolute()))
        except Exception as error:  # decord raises bare exceptions of several kinds
            raise self._refusal("it cannot open it") from error
        if len(video) != len(self._pts):
            counts = f"{len(video)} frames where the container shows {len(self._pts)}"
            raise self._refusal(f"it counts {counts}")
        if video.get_key_indices() != keyframes:
            raise self._refusal("it misplaces the keyframes, so that it would return wrong frames")
        return video

    def _decode(self, index: int) -> Any:
        if index != self._position:
            self._video.seek_accurate(index)
        self._position = -1  # unknown, should decoding fail
        self.packets_decoded += 1
        frame = self._video.next()
        self._position = index + 1
        return frame

    def _rgb(self, frame: Any) -> NDArray[np.uint8]:
        # Turned videos come with a fourth channel.
        return np.ascontiguousarray(frame.asnumpy()[..., :3])

    def _shown_frames(
        self, container: InputContainer, stream: VideoStream
    ) -> tuple[list[int], list[int]]:
        """The time stamps of all frames that the container shows, and which are keyframes."""
        is_keyframe: dict[int, bool] = {}
        for packet in container.demux(stream):
            if packet.size == 0 or packet.is_discard:
                continue
            if packet.pts is None or packet.pts in is_keyframe:
                raise self._refusal("its frames carry no time stamps of their own")
            is_keyframe[packet.pts] = packet.is_keyframe
            duration_s = max((packet.duration or 0) * self._time_base, 1 / self._rate)
            self._end_s = max(self._end_s, packet.pts * self._time_base + duration_s)
        pts = sorted(is_keyframe)
        return pts, [index for index, t in enumerate(pts) if is_keyframe[t]]

    def _refusal(self, reason: str) -> VideoError:
        return VideoError(f"decord cannot read {self._path}: {reason}; use the pyav reader")

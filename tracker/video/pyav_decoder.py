"""PyAV as a decoder: packet by packet, so that damage costs only the frames that it hit.

Indices are counted, never computed from times. While frames come out for the first time their
time stamps and keyframes are recorded, so that a later walk can seek to a keyframe, recognise by
its time stamp where it landed, and go on counting. A walk that lands elsewhere, or meets another
time stamp than the recorded one, is started again from farther back, at last from the beginning.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from tracker.errors import VideoError
from tracker.types import VideoInfo
from tracker.video.container import (
    every_packet_is_a_frame,
    frame_rate,
    open_container,
    picture_stream,
    promised_end,
)
from tracker.video.damage import LostFrames, early_end, lacks_trailer
from tracker.video.decoder import Picture, ProblemList
from tracker.video.orientation import Orientation

# How many keyframes before a wanted frame are tried before decoding from the beginning.
_SEEK_ATTEMPTS = 2

# How many read errors in a row mean that there is nothing more to read.
_READ_ATTEMPTS = 3

_Numbered = Iterator[tuple[int, VideoFrame]]


class _AstrayError(Exception):
    """A walk after a seek does not stand where the recorded time stamps say."""


class PyAVDecoder:
    """Decodes a media file with PyAV; see `tracker.video.decoder.Decoder`.

    Raises:
        VideoError: if the file cannot be opened, or not one frame of it be decoded.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.problems = ProblemList()
        self.packets_decoded = 0
        self._pts: list[int] = []  # by index, of all frames that came out so far
        self._end = 0  # the pts at which the last of them ends
        self._keyframes: list[int] = []  # indices, rising
        self._seekable = True  # until a time stamp is missing or does not rise
        self._known_until: int | None = None  # damage up to this pts was reported before
        self._open()
        try:
            self._describe()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        self._container: InputContainer = open_container(self._path)
        try:
            self._stream: VideoStream = picture_stream(self._container, self._path)
        except VideoError:
            self._container.close()
            raise

    def _describe(self) -> None:
        """Learn what is only known once the first frame is decoded; keep it for the first walk."""
        stream = self._stream
        self._rate = frame_rate(stream)
        self._time_base = stream.time_base or 1 / self._rate
        self._one_frame = max(1, round(1 / (self._rate * self._time_base)))  # in units of pts
        frames = self._from_beginning()
        first = next(frames, None)
        if first is None:
            reason = f": {self.problems[0].message}" if self.problems else ""
            raise VideoError(f"no frame of {self._path} can be decoded{reason}")
        self._begun: _Numbered | None = chain([first], frames)
        self._stored_size = first[1].width, first[1].height
        self._orientation = self._read_orientation(first[1])
        width, height = self._stored_size
        if self._orientation.transposed:
            width, height = height, width
        end = promised_end(self._container, stream)
        self.info = VideoInfo(
            path=str(self._path),
            width=width,
            height=height,
            frame_rate=self._rate,
            time_base=self._time_base,
            frame_count=stream.frames or (round(end * self._rate) if end else None),
            has_audio=bool(self._container.streams.audio),
        )

    def _read_orientation(self, frame: VideoFrame) -> Orientation:
        matrix: Any = frame.side_data.get("DISPLAYMATRIX")
        if matrix is None:
            return Orientation()
        found = Orientation.from_display_matrix(np.frombuffer(matrix, np.int32).tolist())
        if found is None:
            self._report(frame.pts, "frames are turned by no multiple of 90°: shown as stored")
        return found or Orientation()

    def walk_start(self, first: int) -> int:
        return next(iter(self._seek_points(first)), 0)

    def walk(self, first: int) -> Iterator[Picture]:
        for index, frame in self._walk(first):
            yield Picture(index, self._pts[index], partial(self._to_rgb, frame))

    def close(self) -> None:
        self._begun = None
        self._container.close()

    # Finding the way

    def _seek_points(self, first: int) -> list[int]:
        """The keyframes from which to reach frame `first`, the best one first."""
        if not self._seekable:
            return []
        end = bisect_right(self._keyframes, first)
        return self._keyframes[max(0, end - _SEEK_ATTEMPTS) : end][::-1]

    def _walk(self, first: int) -> _Numbered:
        if self._begun is not None:
            begun, self._begun = self._begun, None
            yield from begun
            return
        following = self.walk_start(first)
        for keyframe in self._seek_points(first):
            try:
                for index, frame in self._from_keyframe(keyframe):
                    if index > following:
                        raise _AstrayError
                    if index == following:
                        yield index, frame
                        following += 1
                return
            except _AstrayError:
                continue
        self._container.close()
        self._open()
        yield from ((index, frame) for index, frame in self._from_beginning() if index >= following)

    def _from_beginning(self) -> _Numbered:
        self._known_until = None
        for index, frame in enumerate(self._frames()):
            if index == len(self._pts):
                self._record(frame)
            yield index, frame
        self._check_end()

    def _from_keyframe(self, keyframe: int) -> _Numbered:
        """Seek to a recorded keyframe, or before it, and go on from there.

        Raises:
            _AstrayError: if what comes out is not what was recorded.
        """
        try:
            self._container.seek(self._pts[keyframe], stream=self._stream)
        except av.FFmpegError as error:
            raise _AstrayError from error
        self._known_until = self._pts[-1]
        index = -1
        for frame in self._frames():
            index = self._index_of(frame) if index < 0 else index + 1
            if index == len(self._pts):
                self._record(frame)
            elif frame.pts != self._pts[index]:
                raise _AstrayError
            yield index, frame
        if index + 1 < len(self._pts):
            raise _AstrayError
        self._check_end()

    def _index_of(self, frame: VideoFrame) -> int:
        """The index under which a frame was recorded, by its time stamp."""
        if frame.pts is None or frame.pts > self._pts[-1]:
            raise _AstrayError
        return bisect_left(self._pts, frame.pts)

    def _record(self, frame: VideoFrame) -> None:
        """Note the time stamp of the next new frame, mended if it does not rise."""
        last = self._pts[-1] if self._pts else None
        pts = frame.pts
        if pts is None or (last is not None and pts <= last):
            if pts is not None and self._seekable:
                self._report(pts, "time stamps do not rise: mended from here on")
            self._seekable = False
            if last is None:
                pts = 0
            elif frame.dts is not None and frame.dts > last:
                pts = frame.dts
            else:
                pts = last + self._one_frame
        if frame.key_frame:
            self._keyframes.append(len(self._pts))
        self._pts.append(pts)
        self._end = pts + max(frame.duration or 0, self._one_frame)

    # Decoding

    def _frames(self) -> Iterator[VideoFrame]:
        """What comes out from the container's position on; damage is skipped and reported."""
        lost = LostFrames(only_after_damage=not every_packet_is_a_frame(self._stream))
        for packet in self._packets():
            for frame in self._decode(packet, lost):
                if frame.pts is not None:
                    self._report_lost(lost.frame_came_out(frame.pts))
                if frame.is_corrupt:
                    self._report(frame.pts, "a frame is damaged")
                yield frame
        self._report_lost(lost.at_end())

    def _decode(self, packet: Packet | None, lost: LostFrames) -> list[VideoFrame]:
        """The frames that come out when `packet` goes in; an empty one, or None, flushes."""
        pts, flushes = (None, True) if packet is None else (packet.pts, packet.size == 0)
        self.packets_decoded += not flushes
        try:
            frames = self._stream.decode(packet)
        except av.FFmpegError as error:
            self._report(pts, f"a damaged packet was skipped ({error.strerror})")
            if pts is not None:
                lost.packet_damaged(pts)
            return []
        if packet is not None and packet.is_corrupt:
            self._report(pts, "a packet is damaged; its frame may be too")
            if pts is not None:
                lost.packet_damaged(pts)
        if packet is not None and pts is not None and not packet.is_discard:
            lost.packet_sent(pts)
        return frames

    def _packets(self) -> Iterator[Packet | None]:
        """Packets of the picture stream; an empty one, or None, ends them and flushes."""
        failures = 0
        while failures < _READ_ATTEMPTS:
            try:
                for packet in self._container.demux(self._stream):
                    failures = 0
                    yield packet
                return
            except IndexError:  # PyAV fails to flush if damage brought forth another stream
                break
            except av.FFmpegError as error:
                failures += 1
                last = self._pts[-1] if self._pts else None
                self._report(last, f"the file cannot be read after this ({error.strerror})")
        yield None

    def _to_rgb(self, frame: VideoFrame) -> NDArray[np.uint8]:
        width, height = self._stored_size
        if (frame.width, frame.height) != self._stored_size:
            change = f"{width}x{height} to {frame.width}x{frame.height}"
            self._report(frame.pts, f"the size of frames changes from {change}: scaled back")
        try:
            stored_hwc: Any = frame.to_ndarray(format="rgb24", width=width, height=height)
        except (av.FFmpegError, ValueError) as error:
            reason = f"pixels of format {frame.format.name} cannot be converted to RGB"
            raise VideoError(f"cannot read {self._path}: {reason}") from error
        return self._orientation.apply(stored_hwc)

    # Reporting

    def _report(self, pts: int | None, message: str) -> None:
        if pts is not None and self._known_until is not None and pts <= self._known_until:
            return
        self.problems.report(None if pts is None else float(pts * self._time_base), message)

    def _report_lost(self, lost_pts: list[int]) -> None:
        if lost_pts:
            count = "1 frame" if len(lost_pts) == 1 else f"{len(lost_pts)} frames"
            self._report(lost_pts[0], f"{count} could not be decoded")

    def _check_end(self) -> None:
        """Report it when the frames stop before the container says."""
        if not self._pts:
            return
        promised = promised_end(self._container, self._stream)
        message = early_end(self._end * self._time_base, promised, self._rate)
        if message is None and self._container.format.name == "gif" and lacks_trailer(self._path):
            message = "the file ends early: the end mark of a GIF is missing"
        if message:
            self.problems.report(float(self._pts[-1] * self._time_base), message)

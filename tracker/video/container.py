"""Opening a media file safely: by its content, as a local file, and never as a playlist."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from tracker.errors import VideoError

# FFmpeg's demuxers that read one file and nothing else. Whatever names other files or addresses
# (HLS, DASH, concat, image patterns) is missing on purpose.
_FORMATS = (
    *("mov", "matroska", "avi", "mpegts", "mpeg", "flv", "asf", "ogg", "mxf", "nut", "ivf", "dv"),
    *("gif", "apng", "webp", "h264", "hevc", "vvc", "obu", "m4v", "mpegvideo", "mjpeg"),
    *("yuv4mpegpipe", "rm", "wtv"),
    *("mp3", "aac", "flac", "wav"),  # sound alone, so that the error can say so
)

_FORMATS_WITH_DURATION = {"mov", "matroska", "avi", "flv", "asf"}

_FALLBACK_RATE = Fraction(25)  # for streams that name no rate at all

_PLAYLIST_HEADS = (b"#EXTM3U", b"ffconcat", b"[playlist]", b"<?xml", b"<MPD")


def open_container(path: Path) -> InputContainer:
    """Open a media file for reading.

    The file is named to FFmpeg as `file:` with its absolute path, so that no part of the name is
    taken for a protocol, and both protocols and formats are limited to what reads one local file.

    Raises:
        VideoError: if there is no such file, it is empty, a playlist, or not a media file.
    """
    head = _read_head(path)
    if head.removeprefix(b"\xef\xbb\xbf").startswith(_PLAYLIST_HEADS):
        raise VideoError(f"{path} is a playlist, which names other files; name the video itself")
    options = {"protocol_whitelist": "file", "format_whitelist": ",".join(_FORMATS)}
    try:
        return av.open(f"file:{path.absolute()}", container_options=options)
    except (av.FFmpegError, ValueError) as error:
        raise VideoError(f"{path} is not a video that can be read ({_reason(error)})") from error


def picture_stream(container: InputContainer, path: Path) -> VideoStream:
    """The video stream to read: FFmpeg's choice, cover art left aside.

    Raises:
        VideoError: if there is none, or no decoder for it.
    """
    moving = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not moving:
        found = "sound but no picture" if container.streams.audio else "no picture"
        raise VideoError(f"{path} has {found}; name a video")
    best = container.streams.best("video")
    stream = best if isinstance(best, VideoStream) and best in moving else moving[0]
    if stream.codec_context is None:
        raise VideoError(f"{path} is coded in a way that FFmpeg has no decoder for")
    return stream


def frame_rate(stream: VideoStream) -> Fraction:
    """The average rate in frames per second as the container has it, exact."""
    # A stream without time stamps (raw H.264) has no average but the rate that its codec names.
    timed = stream.start_time is not None
    rates = (stream.average_rate if timed else None, stream.guessed_rate, stream.base_rate)
    return next((rate for rate in rates if rate), _FALLBACK_RATE)


def promised_end(container: InputContainer, stream: VideoStream) -> Fraction | None:
    """When the last picture should end, in seconds of presentation time, if the file says so.

    Only formats are believed that write it in their header; of others FFmpeg makes an estimate.
    """
    if not set(container.format.name.split(",")) & _FORMATS_WITH_DURATION:
        return None
    if stream.duration is not None and stream.time_base is not None:
        return ((stream.start_time or 0) + stream.duration) * stream.time_base
    if "DURATION" in stream.metadata:  # Matroska's tag, HH:MM:SS.nnnnnnnnn
        hours, minutes, seconds = stream.metadata["DURATION"].split(":")
        return Fraction(hours) * 3600 + Fraction(minutes) * 60 + Fraction(seconds)
    if container.duration is not None and len(container.streams) == 1:
        return Fraction((container.start_time or 0) + container.duration, av.time_base)
    return None


def _read_head(path: Path) -> bytes:
    if not path.exists():
        raise VideoError(f"no such file or folder: {path}")
    if not path.is_file():
        raise VideoError(f"{path} is neither a file nor a folder of images")
    try:
        with open(path, "rb") as file:
            head = file.read(16)
    except OSError as error:
        raise VideoError(f"cannot read {path}: {error.strerror}") from error
    if not head:
        raise VideoError(f"{path} is empty")
    return head


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)

"""Opening a media file safely: by its content, as a local file, and never as a playlist."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from tracker.errors import VideoError
from tracker.video.sniffing import is_playlist, read_head

# FFmpeg's demuxers that read one file and nothing else. Whatever names other files or addresses
# (HLS, DASH, concat, image patterns) is missing on purpose.
_FORMATS = (
    *("mov", "matroska", "avi", "mpegts", "mpeg", "flv", "asf", "ogg", "mxf", "nut", "ivf", "dv"),
    *("gif", "apng", "webp", "h264", "hevc", "vvc", "obu", "m4v", "mpegvideo", "mjpeg"),
    *("yuv4mpegpipe", "rm", "wtv"),
    *("mp3", "aac", "flac", "wav"),  # sound alone, so that the error can say so
)

_FORMATS_WITH_DURATION = {"mov", "matroska", "avi", "flv", "asf", "gif"}

_MATROSKA_DURATION = re.compile(r"([0-9]+):([0-9]+):([0-9]+(?:\.[0-9]+)?)")

_FALLBACK_RATE = Fraction(25)  # for streams that name no rate at all


def open_container(path: Path) -> InputContainer:
    """Open a media file for reading.

    The file is named to FFmpeg as `file:` with its absolute path, so that no part of the name is
    taken for a protocol, and both protocols and formats are limited to what reads one local file.

    Raises:
        VideoError: if there is no such file, it is empty, a playlist, or not a media file.
    """
    head = read_head(path)
    if not head:
        raise VideoError(f"{path} is empty")
    if is_playlist(head):
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


def every_packet_is_a_frame(stream: VideoStream) -> bool:
    """Whether the container holds one packet for each frame that is shown.

    So it is for these codecs in MP4 and Matroska. Elsewhere a packet may hold half of an interlaced
    frame, or a frame that is only there to be referred to.
    """
    formats = set(stream.container.format.name.split(","))
    return bool(formats & {"mov", "matroska"}) and stream.codec.name in {"h264", "hevc"}


def promised_end(container: InputContainer, stream: VideoStream) -> Fraction | None:
    """When the last picture should end, in seconds of presentation time, if the file says so.

    Only formats are believed that write it in their header; of others FFmpeg makes an estimate.
    """
    if not set(container.format.name.split(",")) & _FORMATS_WITH_DURATION:
        return None
    if stream.duration is not None and stream.time_base is not None:
        return ((stream.start_time or 0) + stream.duration) * stream.time_base
    tag = _MATROSKA_DURATION.fullmatch(stream.metadata.get("DURATION", ""))
    if tag:
        hours, minutes, seconds = tag.groups()
        return int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds)
    if container.duration is not None and len(container.streams) == 1:
        return Fraction((container.start_time or 0) + container.duration, av.time_base)
    return None


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)

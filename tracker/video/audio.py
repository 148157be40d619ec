"""The sound of a source, carried into an MP4 that is being written.

Packets are copied as they are when players take them from an MP4, and coded anew as AAC when not.
Times are those of the source, shifted with the pictures, so that both stay together.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.bitstream import BitStreamFilterContext
from av.container import OutputContainer
from av.packet import Packet

from tracker.video.container import open_container
from tracker.video.decoder import ProblemList

# FFmpeg could also put Vorbis and PCM into an MP4, but hardly any player takes them from there.
_COPIED_CODECS = {"aac", "mp3", "ac3", "eac3"}
_CODECS_WITH_HEADER = {"opus", "flac", "alac"}  # copied too, unless a damaged file lacks the header

# The sampling rates that AAC knows (ISO/IEC 14496-3, table 1.18).
_AAC_RATES = {8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000}

# Decoders need the packet before a cut to be settled at the cut, so packets are kept that end up
# to this long before the first picture. An edit list hides them from the listener.
_LEAD_IN = Fraction(3, 100)

# Files are read on for this long past the end, in case another track lies behind in the file.
_TRACK_SKEW = Fraction(1)


@dataclass
class _Track:
    """One audio stream of the source and the one of the output that it goes to."""

    source: AudioStream
    target: AudioStream
    copied: bool
    unwrap: BitStreamFilterContext | None
    last_dts: int | None = None


class AudioTracks:
    """All audio streams of `source`, to be written into `output` piece by piece.

    Create it before anything is written to `output`; call `start` once, `advance` as pictures are
    written, `finish` after the last one, and `close` in any case.

    Raises:
        VideoError: if `source` cannot be opened.
    """

    def __init__(self, source: Path, output: OutputContainer, problems: ProblemList) -> None:
        self._output = output
        self._problems = problems
        self._container = open_container(source)
        self._tracks: dict[int, _Track] = {}
        for number, stream in enumerate(self._container.streams.audio, start=1):
            self._add(number, stream)
        self._packets: Iterator[Packet] = iter(())
        self._ahead: Packet | None = None  # read from the file, but later than was asked for
        self._start = Fraction(0)

    def start(self, time_s: Fraction) -> None:
        """The first picture is shown at `time_s` of the source; the output begins there."""
        if not self._tracks:
            return
        self._start = time_s
        if time_s > 1:
            with suppress(av.FFmpegError):  # then what lies before is read and left out
                self._container.seek(int((time_s - 1) * av.time_base))
        streams = [track.source for track in self._tracks.values()]
        self._packets = self._container.demux(*streams)

    def advance(self, until_s: Fraction) -> None:
        """Write all sound that starts before `until_s` of the source."""
        while (packet := self._next(until_s)) is not None:
            self._write(packet)

    def finish(self, end_s: Fraction) -> None:
        """Write the sound up to `end_s` of the source, where the last picture ends."""
        while (packet := self._next(end_s + _TRACK_SKEW)) is not None:
            if _start_of(packet) < end_s:
                self._write(packet)
        for track in self._tracks.values():
            if not track.copied:
                self._output.mux(track.target.encode(None))

    def close(self) -> None:
        self._container.close()

    def _add(self, number: int, source: AudioStream) -> None:
        """Make a track for one stream of the source; leave it out if it cannot be understood."""
        if source.codec_context is None or not source.rate or not source.channels:
            self._problems.report(None, f"audio track {number} cannot be read: left out")
            return
        codec, rate = source.codec.canonical_name, source.rate
        copied, unwrap = _can_be_copied(source), None
        if copied:
            target = self._output.add_stream_from_template(source)
            if codec == "aac" and not source.codec_context.extradata:
                # Packets in ADTS frames, as in MPEG-TS. The muxer would strip them itself, but
                # stop at the first damaged one.
                unwrap = BitStreamFilterContext("aac_adtstoasc", source)
        else:
            target = self._output.add_stream(
                "aac",
                rate=rate if rate in _AAC_RATES else 48000,
                layout="mono" if source.channels == 1 else "stereo",
                bit_rate=160_000,
            )
            message = f"audio track {number} ({codec}) does not fit an MP4: coded anew as AAC"
            self._problems.report(None, message)
        target.metadata.update(
            {key: source.metadata[key] for key in ("language", "title") if key in source.metadata}
        )
        self._tracks[source.index] = _Track(source, target, copied, unwrap)

    def _next(self, until_s: Fraction) -> Packet | None:
        """The next packet that starts before `until_s`; None if there is none."""
        if self._ahead is None:
            try:
                self._ahead = next(self._packets, None)
            except (av.FFmpegError, IndexError) as error:  # IndexError: see PyAVDecoder._packets
                self._packets = iter(())
                self._problems.report(None, f"the sound breaks off ({error})")
        if self._ahead is None or (self._ahead.size and _start_of(self._ahead) >= until_s):
            return None
        packet, self._ahead = self._ahead, None
        return packet

    def _write(self, packet: Packet) -> None:
        track = self._tracks[
            packet.stream.index
        ]  # a flushing packet has no stream_index of its own
        duration = (packet.duration or 0) * packet.time_base
        if packet.size and _start_of(packet) + duration <= self._start - _LEAD_IN:
            return
        if track.copied:
            self._copy(packet, track)
        else:
            self._encode(packet, track)

    def _copy(self, packet: Packet, track: _Track) -> None:
        if packet.size == 0 or packet.pts is None or packet.dts is None:
            return
        time_s, time_base = float(_start_of(packet)), packet.time_base
        if track.last_dts is not None and packet.dts <= track.last_dts:
            self._problems.report(time_s, "sound out of order was left out")
            return
        track.last_dts = packet.dts
        try:
            bare = [packet] if track.unwrap is None else track.unwrap.filter(packet)
        except av.FFmpegError as error:
            self._problems.report(time_s, f"damaged sound was left out ({error.strerror})")
            return
        shift = round(self._start / time_base)
        for piece in bare:
            piece.time_base, piece.stream = time_base, track.target
            piece.pts, piece.dts = (piece.pts or 0) - shift, (piece.dts or 0) - shift
            self._output.mux(piece)

    def _encode(self, packet: Packet, track: _Track) -> None:
        try:
            frames = track.source.decode(packet)
        except av.FFmpegError as error:
            message = f"damaged sound was left out ({error.strerror})"
            self._problems.report(float(_start_of(packet)), message)
            return
        for frame in frames:
            if frame.pts is not None and frame.time_base is not None:
                frame.pts -= round(self._start / frame.time_base)
            self._output.mux(track.target.encode(frame))


def _can_be_copied(source: AudioStream) -> bool:
    codec = source.codec.canonical_name
    if codec in _CODECS_WITH_HEADER:
        return bool(source.codec_context.extradata)
    # MP3 below 16 kHz is not standard in MP4, and its muxer refuses it.
    return codec in _COPIED_CODECS and not (codec == "mp3" and source.rate < 16000)


def _start_of(packet: Packet) -> Fraction:
    """When a packet starts, in seconds of its source; 0 if it does not say."""
    stamp = packet.pts if packet.pts is not None else packet.dts
    return (stamp or 0) * packet.time_base

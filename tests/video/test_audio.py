"""Sound stays with the pictures: clicks at full seconds are heard where they belong."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from tests.made_videos import make_image_folder, truncate_after_packet
from tracker.errors import VideoError
from tracker.video import VideoWriter, open_video

RANGES = [(0, None, 1), (40, 75, 1), (40, 85, 3)]


def copy_range(
    source: Path, target: Path, start=0, end=None, stride=1
) -> tuple[VideoWriter, float]:
    """Write a range of `source` with its sound; returns the writer and when the range starts."""
    with (
        open_video(source) as reader,
        VideoWriter(
            target,
            width=reader.info.width,
            height=reader.info.height,
            frame_rate=reader.info.frame_rate / stride,
            time_base=reader.info.time_base,
            audio_from=source,
        ) as writer,
    ):
        frames = reader.frames(start, end, stride)
        first = next(frames)
        writer.write(first.image_hwc, first.pts)
        for frame in frames:
            writer.write(frame.image_hwc, frame.pts)
        return writer, float(first.pts * reader.info.time_base)


def heard_clicks(path: Path) -> list[float]:
    """When clicks begin, in seconds of presentation time."""
    times: list[np.ndarray] = []
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        resampler = av.AudioResampler(format="fltp", layout="mono", rate=48000)
        for decoded in container.decode(stream):
            for frame in resampler.resample(decoded):
                loud = np.flatnonzero(np.abs(frame.to_ndarray()[0]) > 0.1)
                times.append(float(frame.pts * frame.time_base) + loud / 48000)
    heard = np.concatenate(times)
    return heard[np.diff(heard, prepend=-1.0) > 0.3].tolist()


def sound(path: Path) -> tuple[str, float]:
    """The codec, and how long the sound lasts beyond the pictures, in seconds."""
    with av.open(str(path)) as container:
        audio, video = container.streams.audio[0], container.streams.video[0]
        longer = audio.duration * audio.time_base - video.duration * video.time_base
        return audio.codec.canonical_name, float(longer)


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Three seconds of pictures and sound in a container, made once for each kind."""
    from tests.made_videos import make_video

    folder, made = tmp_path_factory.mktemp("sources"), {}

    def source(name: str, audio: str) -> Path:
        if name not in made:
            video = "libvpx-vp9" if name.endswith("webm") else "libx264"
            made[name] = make_video(folder / name, 90, audio=audio, codec=video, size=(64, 48))
        return made[name]

    return source


@pytest.mark.parametrize("span", RANGES, ids=["whole", "part", "part of a stride"])
@pytest.mark.parametrize(
    ("name", "audio", "written"),
    [
        ("aac.mp4", "aac", "aac"),
        ("aac.ts", "aac", "aac"),
        ("opus.webm", "libopus", "opus"),
        ("mp3.mkv", "libmp3lame", "mp3"),
        ("flac.mkv", "flac", "flac"),
        ("pcm.mov", "pcm_s16le", "aac"),
        ("pcm.mkv", "pcm_s16le", "aac"),
    ],
)
def test_sound_and_pictures_stay_together(tmp_path, sources, name, audio, written, span):
    source, target = sources(name, audio), tmp_path / "out.mp4"
    writer, start = copy_range(source, target, *span)
    with open_video(target) as reader:
        assert reader.info.has_audio
        length = float(reader.info.frame_count / reader.info.frame_rate)
    in_source = [t - start for t in heard_clicks(source)]
    expected = [t for t in in_source if -0.001 <= t < length]
    assert heard_clicks(target) == pytest.approx(expected, abs=0.003)
    assert len(expected) >= 1
    codec, longer = sound(target)
    assert codec == written
    assert -0.06 < longer < 0.12
    messages = [p.message for p in writer.problems]
    assert messages == (
        []
        if written == audio.removeprefix("lib").removesuffix("lame")
        else ["audio track 1 (pcm_s16le) does not fit an MP4: coded anew as AAC"]
    )


def test_copied_packets_are_the_same_bytes(tmp_path, sources):
    source, target = sources("aac.mp4", "aac"), tmp_path / "out.mp4"
    copy_range(source, target)

    def packets(path: Path) -> list[bytes]:
        with av.open(str(path)) as container:
            return [bytes(p) for p in container.demux(audio=0) if p.size]

    assert packets(target) == packets(source)


def test_all_tracks_and_their_languages_are_kept(tmp_path, make_video):
    first, second = make_video("a.mkv", 30, audio="aac"), make_video("b.mkv", 30, audio="flac")
    source = tmp_path / "two.mkv"
    with (
        av.open(str(first)) as one,
        av.open(str(second)) as other,
        av.open(str(source), "w") as output,
    ):
        streams = [one.streams.video[0], one.streams.audio[0], other.streams.audio[0]]
        targets = {id(s): output.add_stream_from_template(s, opaque=True) for s in streams}
        targets[id(streams[1])].metadata["language"] = "ger"
        targets[id(streams[2])].metadata["language"] = "swe"
        packets = [p for p in (*one.demux(*streams[:2]), *other.demux(streams[2])) if p.size]
        for packet in sorted(packets, key=lambda p: p.dts * p.time_base):
            packet.stream = targets[id(packet.stream)]
            output.mux(packet)
    copy_range(source, tmp_path / "out.mp4", 3, 20)
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert [s.codec.canonical_name for s in container.streams.audio] == ["aac", "flac"]
        assert [s.metadata["language"] for s in container.streams.audio] == ["ger", "swe"]


def test_sound_that_ends_before_the_range_is_no_error(tmp_path, make_video):
    for name, codec in (("short.mp4", "aac"), ("short.mov", "pcm_s16le")):
        source = make_video(name, 90, audio=codec, audio_seconds=1.0)
        copy_range(source, tmp_path / "out.mp4", 60, 80)
        with open_video(tmp_path / "out.mp4") as reader:
            assert len(list(reader.frames())) == 20
            assert reader.problems == []


def test_sound_of_a_truncated_source_is_kept_as_far_as_it_goes(tmp_path, make_video):
    source = make_video("source.mkv", 90, audio="aac")
    truncate_after_packet(source, 70)
    _, start = copy_range(source, tmp_path / "out.mp4", 20)
    heard = [t + start for t in heard_clicks(tmp_path / "out.mp4")]
    assert heard == pytest.approx([1.0, 2.0], abs=0.003)


def test_silent_sources_are_fine(tmp_path, make_video):
    folder = make_image_folder(tmp_path / "images", ["0.png", "1.png"])
    gif = make_video("moving.gif", codec="gif", pixel_format="rgb8")
    for source in (make_video(), folder, gif, folder / "0.png"):
        writer, _ = copy_range(source, tmp_path / "out.mp4")
        assert writer.problems == []
        with open_video(tmp_path / "out.mp4") as reader:
            assert not reader.info.has_audio


def test_a_missing_source_is_an_error_and_leaves_nothing(tmp_path):
    from fractions import Fraction

    with pytest.raises(VideoError, match="no such file"):
        VideoWriter(
            tmp_path / "out.mp4",
            width=64,
            height=48,
            frame_rate=Fraction(25),
            time_base=Fraction(1, 25),
            audio_from=tmp_path / "missing.mp4",
        )
    assert list(tmp_path.iterdir()) == []

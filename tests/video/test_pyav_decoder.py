"""What only a container can have wrong: time stamps, sizes, angles, missing packets."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest

from tests.made_videos import (
    damage_packet,
    make_video,
    packet_spans,
    paint_index,
    painted_index,
    truncate_after_packet,
)
from tracker.video import VideoWriter, open_video


def test_time_stamps_that_do_not_rise_are_mended_and_reported_once(make_video):
    """AVI has no presentation times; with B-frames FFmpeg's guesses go back and forth."""
    with open_video(make_video("b.avi", b_frames=2)) as reader:
        frames = list(reader.frames())
        assert [painted_index(f.image_hwc) for f in frames] == list(range(30))
        assert all(a.pts < b.pts for a, b in pairwise(frames))
        assert [p.message for p in reader.problems] == [
            "time stamps do not rise: mended from here on"
        ]
        order = [painted_index(reader.read(i).image_hwc) for i in (20, 3, 29, 0, 11)]
        assert order == [20, 3, 29, 0, 11]


def test_recordings_joined_end_to_end_go_on_counting(tmp_path):
    """The second part starts its clock again and has another size: frames keep the first size."""
    one = make_video(tmp_path / "one.ts", 20)
    other = make_video(tmp_path / "other.ts", 10, size=(320, 240))
    joined = tmp_path / "joined.ts"
    joined.write_bytes(one.read_bytes() + other.read_bytes())
    with open_video(joined) as reader:
        frames = list(reader.frames())
        assert [painted_index(f.image_hwc) for f in frames] == [*range(20), *range(10)]
        assert all(a.pts < b.pts for a, b in pairwise(frames))
        assert {f.image_hwc.shape for f in frames} == {(120, 160, 3)}
        messages = " ".join(p.message for p in reader.problems)
        assert "the size of frames changes from 160x120 to 320x240: scaled back" in messages
        reader._ring.clear()
        for index in (25, 4, 29, 19):
            assert painted_index(reader.read(index).image_hwc) == index % 20


def test_a_raw_stream_is_timed_by_the_rate_of_its_codec(make_video):
    with open_video(make_video("raw.h264", container="h264", rate=Fraction(50))) as reader:
        assert reader.info.frame_rate == 50
        assert reader.info.frame_count is None
        seconds = [f.pts * reader.info.time_base for f in reader.frames()]
    assert seconds == [Fraction(i, 50) for i in range(30)]


@pytest.mark.parametrize(
    ("abcd", "stored_hwc"),
    [
        ((-1, 0, 0, 1), paint_index(6)[:, ::-1]),
        ((1, 0, 0, -1), paint_index(6)[::-1]),
        ((0, 1, 1, 0), paint_index(6).transpose(1, 0, 2)),
    ],
    ids=["left to right", "top to bottom", "across the diagonal"],
)
def test_mirrored_recordings_stand_upright(tmp_path, abcd, stored_hwc):
    """As front cameras write them."""
    path, (height, width) = tmp_path / "mirrored.mp4", stored_hwc.shape[:2]
    a, b, c, d = (value << 16 for value in abcd)
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=30, width=width, height=height)
        stream.set_display_matrix([a, b, 0, c, d, 0, 0, 0, 1 << 30])
        stored = av.VideoFrame.from_ndarray(np.ascontiguousarray(stored_hwc), format="rgb24")
        output.mux(stream.encode(stored))
        output.mux(stream.encode(None))
    with open_video(path) as reader:
        assert painted_index(reader.read(0).image_hwc) == 6


def test_angles_that_are_no_multiple_of_90_are_left_and_reported(tmp_path):
    path = tmp_path / "tilted.mp4"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=30, width=160, height=120)
        stream.set_display_rotation(30)
        output.mux(stream.encode(av.VideoFrame.from_ndarray(paint_index(6), format="rgb24")))
        output.mux(stream.encode(None))
    with open_video(path) as reader:
        assert painted_index(reader.read(0).image_hwc) == 6
        assert "no multiple of 90" in reader.problems[0].message


@pytest.mark.parametrize("name", ["stream.ts", "stream.mkv", "stream.mp4"])
def test_jumps_in_any_container_decode_little(make_video, name):
    """Seeking is exact by time stamp, not a walk from the beginning."""
    with open_video(make_video(name, 240, size=(64, 48), b_frames=2)) as reader:
        pts = [f.pts for f in reader.frames()]
        before = reader.packets_decoded
        jumps = [200, 100, 30, 150, 229]
        for index in jumps:
            reader._ring.clear()
            frame = reader.read(index)
            assert painted_index(frame.image_hwc) == index
            assert frame.pts == pts[index]
        assert reader.packets_decoded - before < 40 * len(jumps)


def test_frames_that_build_on_a_damaged_keyframe_are_counted(make_video):
    """FFmpeg gives out the very last of them, as well as it can."""
    path = damage_packet(make_video(), 20)
    with open_video(path) as reader:
        indices = [painted_index(f.image_hwc) for f in reader.frames()]
        assert indices == [*range(20), 29]
        first, second = reader.problems
    assert first.time_s == pytest.approx(20 / 30)
    assert second.time_s == pytest.approx(21 / 30)
    assert "8 frames could not be decoded" in second.message


def test_several_damaged_packets_are_all_reported(make_video):
    path = make_video(frames=60, gop=1)
    for number in (12, 33, 47):
        damage_packet(path, number)
    with open_video(path) as reader:
        indices = [painted_index(f.image_hwc) for f in reader.frames()]
        assert indices == [i for i in range(60) if i not in (12, 33, 47)]
        assert [round(p.time_s * 30) for p in reader.problems] == [12, 33, 47]
        reader._ring.clear()
        assert painted_index(reader.read(40).image_hwc) == indices[40]
        assert len(reader.problems) == 3


def test_a_flipped_bit_is_reported_or_harmless(make_video):
    """Damage that the decoder can hide still gives a frame for every index."""
    path = make_video(frames=30)
    position, size = packet_spans(path)[15]
    content = bytearray(path.read_bytes())
    content[position + size - 3] ^= 0x10
    path.write_bytes(content)
    with open_video(path) as reader:
        frames = list(reader.frames())
    assert len(frames) in (29, 30)
    assert len(frames) == 30 or reader.problems


@pytest.mark.parametrize("name", ["video.mp4", "video.mkv", "video.avi", "video.flv", "moving.gif"])
def test_a_file_that_ends_early_says_so(make_video, name):
    options = {"movflags": "faststart"} if name.endswith("mp4") else {}
    codec = {"avi": "mpeg4", "gif": "gif"}.get(name[-3:], "libx264")
    pixels = "rgb8" if codec == "gif" else "yuv420p"
    path = make_video(name, 60, container_options=options, codec=codec, pixel_format=pixels)
    truncate_after_packet(path, 40)
    with open_video(path) as reader:
        indices = [painted_index(f.image_hwc) for f in reader.frames()]
        # The packet that was cut may still give a frame, more or less like the one before it.
        assert indices[:39] == list(range(39))
        assert len(indices) <= 41
        assert any("ends early" in p.message for p in reader.problems)


@pytest.mark.parametrize("name", ["video.mp4", "video.mkv", "video.avi", "video.flv", "video.ts"])
def test_sound_that_outlasts_the_pictures_is_no_early_end(make_video, name):
    with open_video(make_video(name, 30, audio="aac", audio_seconds=2.5)) as reader:
        assert len(list(reader.frames())) == 30
        assert reader.problems == []


@pytest.mark.parametrize("reader", ["pyav", "decord"])
def test_a_last_frame_that_stays_long_is_no_early_end(tmp_path, reader):
    """As in recordings of a screen, where nothing moves for a while."""
    settings = {"frame_rate": Fraction(30), "time_base": Fraction(1, 30)}
    path = tmp_path / "slow.mp4"
    with VideoWriter(path, width=160, height=120, **settings) as writer:
        for index, pts in enumerate((0, 1, 2, 90)):
            writer.write(paint_index(index), pts)
    with av.open(str(path)) as container:
        assert container.duration > 5_000_000
    with open_video(path, reader) as opened:
        assert len(list(opened.frames())) == 4
        assert opened.problems == []


def test_the_claimed_count_may_come_from_the_duration(make_video):
    with open_video(make_video("video.mkv", 45)) as reader:
        assert reader.info.frame_count == 45

"""One contract over every reader and the same made files; where decord differs, it says how."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tests.made_videos import (
    damage_packet,
    make_image_folder,
    make_video,
    painted_index,
    truncate_after_packet,
)
from tracker.errors import VideoError
from tracker.video import VideoReader, open_video

VARIABLE_PTS = [33 * i + 7 * (i % 3) + (200 if i > 10 else 0) for i in range(30)]


@dataclass(frozen=True)
class Case:
    """A made file and what comes out of it.

    Attributes:
        make: writes the file into a folder and returns its path.
        painted: the indices painted on the frames that come out.
        pts: their time stamps, or None not to look.
        problem: what a problem of it is about; None if it has none.
        decord: why decord refuses to open it; None if it reads it like PyAV.
    """

    make: Callable[[Path], Path]
    painted: tuple[int, ...] = tuple(range(30))
    size: tuple[int, int] = (160, 120)
    frame_rate: Fraction = Fraction(30)
    pts: tuple[int, ...] | None = None
    problem: str | None = None
    decord: str | None = None


def _without(number: int) -> tuple[int, ...]:
    return tuple(i for i in range(30) if i != number)


IMAGE_NAMES = [f"frame{i}.{['jpg', 'png', 'webp', 'bmp'][i % 4]}" for i in range(12)]

CASES = {
    "plain": Case(lambda to: make_video(to / "plain.mp4"), pts=tuple(range(0, 30 * 512, 512))),
    "odd size": Case(
        lambda to: make_video(to / "odd.mp4", size=(161, 121), pixel_format="yuv444p"),
        size=(161, 121),
    ),
    "turned by 90": Case(lambda to: make_video(to / "r90.mp4", rotation=90)),
    "turned by 180": Case(lambda to: make_video(to / "r180.mp4", rotation=180)),
    "turned by 270": Case(lambda to: make_video(to / "r270.mp4", rotation=270)),
    "variable rate": Case(
        lambda to: make_video(to / "variable.mkv", pts=VARIABLE_PTS, time_base=Fraction(1, 1000)),
        pts=tuple(VARIABLE_PTS),
    ),
    "exact fraction": Case(
        lambda to: make_video(to / "ntsc.mp4", rate=Fraction(30000, 1001)),
        frame_rate=Fraction(30000, 1001),
    ),
    "B-frames": Case(
        lambda to: make_video(to / "b.mp4", b_frames=3), pts=tuple(range(0, 30 * 512, 512))
    ),
    "10 bit": Case(lambda to: make_video(to / "ten.mp4", pixel_format="yuv420p10le")),
    "10 bit HEVC": Case(
        lambda to: make_video(to / "hevc.mp4", codec="libx265", pixel_format="yuv420p10le"),
        decord="misplaces the keyframes",
    ),
    "VP9": Case(lambda to: make_video(to / "vp9.webm", codec="libvpx-vp9")),
    "gif": Case(
        lambda to: make_video(
            to / "moving.gif", codec="gif", pixel_format="rgb8", rate=Fraction(10)
        ),
        frame_rate=Fraction(10),
        decord="cannot open it",
    ),
    "transport stream": Case(
        lambda to: make_video(to / "stream.ts", b_frames=2),
        pts=tuple(6000 + 3000 * i for i in range(30)),
        decord="wrong frames from MPEG-TS",
    ),
    "avi": Case(
        lambda to: make_video(to / "old.avi", codec="mpeg4"), decord="wrong frames from AVI"
    ),
    "raw stream": Case(
        lambda to: make_video(to / "raw.h264", container="h264", b_frames=2),
        decord="no time stamps",
    ),
    "edit list": Case(
        lambda to: make_video(to / "edit.mp4", pts=range(-6, 24)),
        painted=tuple(range(6, 30)),
        decord="counts 30 frames where the container shows 24",
    ),
    "single frame": Case(lambda to: make_video(to / "one.mp4", frames=1), painted=(0,)),
    "image folder": Case(
        lambda to: make_image_folder(to / "images", IMAGE_NAMES),
        painted=tuple(range(12)),
        frame_rate=Fraction(24),
        pts=tuple(range(12)),
    ),
    "truncated mp4": Case(
        lambda to: truncate_after_packet(
            make_video(to / "cut.mp4", container_options={"movflags": "faststart"}), 17
        ),
        painted=tuple(range(17)),
        problem="ends early",
        decord="cannot open it",
    ),
    "truncated mkv": Case(
        lambda to: truncate_after_packet(make_video(to / "cut.mkv"), 17),
        painted=tuple(range(17)),
        problem="ends early",
    ),
    "damaged keyframe": Case(
        lambda to: damage_packet(make_video(to / "damaged_key.mp4"), 10),
        # Frames that build on the keyframe are lost with it, until one can be made again.
        painted=(*range(10), *range(19, 30)),
        problem="8 frames could not be decoded",
        decord="misplaces the keyframes",
    ),
}

READERS = ("pyav", "decord")

READABLE = [
    pytest.param(name, reader, id=f"{name}-{reader}")
    for name, case in CASES.items()
    for reader in READERS
    if reader == "pyav" or case.decord is None
]


STEADY = [
    param
    for param in READABLE
    if param.values[0] not in ("variable rate", "single frame")
    and not CASES[param.values[0]].problem
]


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The file of a case, made once."""
    folder, paths = tmp_path_factory.mktemp("contract"), dict[str, Path]()

    def make(name: str) -> Path:
        if name not in paths:
            paths[name] = CASES[name].make(folder)
        return paths[name]

    return make


def painted(reader: VideoReader) -> list[int]:
    return [painted_index(frame.image_hwc) for frame in reader.frames()]


@pytest.mark.parametrize(("name", "reader_name"), READABLE)
def test_frames_come_out_upright_and_in_order(made, name, reader_name):
    case = CASES[name]
    with open_video(made(name), reader_name) as reader:
        frames = list(reader.frames())
    assert [painted_index(frame.image_hwc) for frame in frames] == list(case.painted)
    assert [frame.index for frame in frames] == list(range(len(case.painted)))
    pts = [frame.pts for frame in frames]
    assert all(a < b for a, b in pairwise(pts))
    assert case.pts is None or pts == list(case.pts)
    width, height = case.size
    assert {frame.image_hwc.shape for frame in frames} == {(height, width, 3)}


@pytest.mark.parametrize(("name", "reader_name"), READABLE)
def test_info_is_known_before_frames_are_read(made, name, reader_name):
    case = CASES[name]
    with open_video(made(name), reader_name) as reader:
        info = reader.info
    assert (info.width, info.height) == case.size
    assert info.frame_rate == case.frame_rate
    assert info.path == str(made(name))
    assert not info.has_audio


@pytest.mark.parametrize(("name", "reader_name"), STEADY)
def test_time_stamps_count_seconds(made, name, reader_name):
    """Where the rate is constant, a frame is as long as it says."""
    with open_video(made(name), reader_name) as reader:
        first, second = reader.read(0), reader.read(1)
        step = (second.pts - first.pts) * reader.info.time_base
    assert abs(step - 1 / CASES[name].frame_rate) <= Fraction(1, 1000)


@pytest.mark.parametrize(("name", "reader_name"), READABLE)
def test_any_frame_comes_back_by_its_index(made, name, reader_name):
    """Jumps and walks backwards, with a ring so small that it helps little."""
    case = CASES[name]
    count = len(case.painted)
    jumps = np.random.default_rng(0).integers(0, count, 25).tolist()
    with open_video(made(name), reader_name) as reader:
        pts = [frame.pts for frame in reader.frames()]
        reader._ring.capacity = 3
        for index in [*jumps, *range(count - 1, -1, -1), *range(0, count, 7)]:
            frame = reader.read(index)
            assert (frame.index, frame.pts) == (index, pts[index])
            assert painted_index(frame.image_hwc) == case.painted[index]


@pytest.mark.parametrize(("name", "reader_name"), READABLE)
def test_no_frame_past_the_end(made, name, reader_name):
    count = len(CASES[name].painted)
    with open_video(made(name), reader_name) as reader:
        for index in (count, count + 100, -1, count):
            with pytest.raises(IndexError):
                reader.read(index)
        assert painted_index(reader.read(count - 1).image_hwc) == CASES[name].painted[-1]


@pytest.mark.parametrize(("name", "reader_name"), READABLE)
def test_damage_is_reported_and_nothing_else(made, name, reader_name):
    problem = CASES[name].problem
    with open_video(made(name), reader_name) as reader:
        for _ in range(2):  # a second pass reports nothing twice
            list(reader.frames())
            reader._ring.clear()
        messages = [p.message for p in reader.problems]
        assert len(set(reader.problems)) == len(messages)
    if problem is None:
        assert messages == []
    else:
        assert any(problem in message for message in messages), messages


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.decord])
def test_decord_refuses_what_it_would_get_wrong(made, name):
    with pytest.raises(VideoError, match=CASES[name].decord) as refusal:
        open_video(made(name), "decord")
    assert "use the pyav reader" in str(refusal.value)


def test_damage_in_the_middle_costs_pyav_one_frame(tmp_path):
    path = damage_packet(make_video(tmp_path / "damaged.mp4"), 15)
    with open_video(path) as reader:
        assert painted(reader) == list(_without(15))
        (problem,) = reader.problems
    assert "damaged packet" in problem.message
    assert problem.time_s == pytest.approx(0.5)


def test_damage_in_the_middle_ends_the_video_for_decord(tmp_path):
    """Where exactly differs from run to run: decord decodes ahead on several threads."""
    path = damage_packet(make_video(tmp_path / "damaged.mp4"), 15)
    came_out: list[int] = []
    problem = "decord can decode no further; the pyav reader can"
    try:
        with open_video(path, "decord") as reader:
            came_out = painted(reader)
            assert [p.message for p in reader.problems] == [problem]
    except VideoError as error:  # it was so fast that it met the damage while opening
        problem = str(error)
    assert came_out == list(range(len(came_out)))
    assert len(came_out) <= 15
    assert "use the pyav reader" in problem or "the pyav reader can" in problem

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.full_disk import files_limited_to
from tests.made_videos import paint_index, painted_index
from tracker.errors import VideoError
from tracker.video import VideoWriter, open_video


def write_painted(
    path: Path, pts: list[int], size: tuple[int, int] = (160, 120), **options
) -> Path:
    options = {"frame_rate": Fraction(30), "time_base": Fraction(1, 30)} | options
    with VideoWriter(path, width=size[0], height=size[1], **options) as writer:
        for index, stamp in enumerate(pts):
            writer.write(paint_index(index, *size), stamp)
    return path


def top_level_boxes(path: Path) -> list[str]:
    """The names of an MP4's outermost boxes, in order."""
    content, position, names = path.read_bytes(), 0, []
    while position < len(content):
        names.append(content[position + 4 : position + 8].decode("ascii"))
        position += int.from_bytes(content[position : position + 4], "big")
    return names


def test_frames_come_back_as_they_were_written(tmp_path):
    path = write_painted(tmp_path / "out.mp4", list(range(20)))
    with open_video(path) as reader:
        frames = list(reader.frames())
        assert [painted_index(f.image_hwc) for f in frames] == list(range(20))
        assert [f.pts * reader.info.time_base for f in frames] == [
            Fraction(i, 30) for i in range(20)
        ]
        assert reader.info.frame_rate == 30
        assert reader.info.frame_count == 20
        assert not reader.info.has_audio
        assert reader.problems == []


def test_browsers_can_play_it(tmp_path):
    path = write_painted(tmp_path / "out.mp4", list(range(5)))
    assert top_level_boxes(path)[:2] == ["ftyp", "moov"]
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
        assert not context.has_b_frames


def test_colours_are_kept(tmp_path):
    """Also those that BT.601 and BT.709 show differently."""
    colours = [
        (200, 50, 30),
        (30, 180, 60),
        (40, 60, 220),
        (255, 255, 255),
        (0, 0, 0),
        (90, 90, 90),
    ]
    image_hwc = np.repeat(np.array([colours], np.uint8), 64, axis=0).repeat(64, axis=1)
    options = {"frame_rate": Fraction(25), "time_base": Fraction(1, 25)}
    with VideoWriter(tmp_path / "out.mp4", width=384, height=64, **options) as writer:
        writer.write(image_hwc, 0)
    with open_video(tmp_path / "out.mp4") as reader:
        got_hwc = reader.read(0).image_hwc
    assert np.abs(got_hwc[32, 32::64].astype(int) - colours).max() <= 6


@pytest.mark.parametrize(
    "frame_rate", [Fraction(30000, 1001), Fraction(24000, 1001), Fraction(25), Fraction(10)]
)
@pytest.mark.parametrize("ticks", [None, 600, 1000, 90_000])
def test_the_frame_rate_is_exact(tmp_path, frame_rate, ticks):
    """Also where the time base can only come near it, as in Matroska's milliseconds."""
    time_base = Fraction(1, ticks) if ticks else 1 / frame_rate
    pts = [round(i / frame_rate / time_base) for i in range(25)]
    path = write_painted(tmp_path / "out.mp4", pts, frame_rate=frame_rate, time_base=time_base)
    with open_video(path) as reader:
        assert reader.info.frame_rate == frame_rate
        stamps = [f.pts * reader.info.time_base for f in reader.frames()]
    assert stamps == [p * time_base for p in pts]


@pytest.mark.parametrize(
    "time_base", [Fraction(1, 1000), Fraction(1, 1_000_000), Fraction(1, 10**9)]
)
def test_variable_rate_keeps_its_time_stamps_from_0(tmp_path, time_base):
    milliseconds = [5000, 5033, 5100, 5101, 7000, 7040]
    pts = [round(Fraction(t, 1000) / time_base) for t in milliseconds]
    path = write_painted(tmp_path / "out.mp4", pts, time_base=time_base)
    with open_video(path) as reader:
        stamps = [f.pts * reader.info.time_base * 1000 for f in reader.frames()]
    assert stamps == [t - 5000 for t in milliseconds]


def test_frames_of_a_stride_keep_their_times(tmp_path):
    path = write_painted(tmp_path / "out.mp4", list(range(12, 60, 4)), frame_rate=Fraction(30, 4))
    with open_video(path) as reader:
        stamps = [f.pts * reader.info.time_base for f in reader.frames()]
        assert stamps == [Fraction(i, 30) for i in range(0, 48, 4)]
        assert reader.info.frame_rate == Fraction(30, 4)


@pytest.mark.parametrize("size", [(161, 121), (160, 121), (161, 120), (1, 1), (3, 200)])
def test_odd_sides_get_a_copy_of_the_last_row_or_column(tmp_path, size):
    width, height = size
    image_hwc = np.zeros((height, width, 3), np.uint8)
    image_hwc[:, -1], image_hwc[-1] = 255, 255
    options = {"frame_rate": Fraction(25), "time_base": Fraction(1, 25)}
    with VideoWriter(tmp_path / "out.mp4", width=width, height=height, **options) as writer:
        writer.write(image_hwc, 0)
    with open_video(tmp_path / "out.mp4") as reader:
        got_hwc = reader.read(0).image_hwc
    assert got_hwc.shape == (height + height % 2, width + width % 2, 3)
    assert got_hwc[-1].min() > 200
    assert got_hwc[:, -1].min() > 200
    if width > 100 and height > 100:
        assert got_hwc[: height - 8, : width - 8].max() < 60  # nothing was scaled


def test_the_name_appears_at_the_end(tmp_path):
    path = tmp_path / "out.mp4"
    options = {"frame_rate": Fraction(25), "time_base": Fraction(1, 25)}
    with VideoWriter(path, width=64, height=48, **options) as writer:
        for index in range(100):
            writer.write(paint_index(index, 64, 48), index)
        assert not path.exists()
        assert writer.frames_written == 100
    assert os.listdir(tmp_path) == ["out.mp4"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ZeroDivisionError()])
def test_after_an_exception_the_old_file_stands(tmp_path, error):
    path = write_painted(tmp_path / "out.mp4", [0, 1, 2])
    before = path.read_bytes()

    def fail_half_way() -> None:
        options = {"frame_rate": Fraction(25), "time_base": Fraction(1, 25)}
        with VideoWriter(path, width=64, height=48, **options) as writer:
            for index in range(50):
                writer.write(paint_index(index, 64, 48), index)
            raise error

    with pytest.raises(type(error)):
        fail_half_way()
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["out.mp4"]


@pytest.mark.parametrize("limit", [0, 1000, 40_000])
def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path, limit):
    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    options = {"frame_rate": Fraction(25), "time_base": Fraction(1, 25)}

    def fill() -> None:
        with VideoWriter(tmp_path / "out.mp4", width=320, height=240, **options) as writer:
            for index in range(6):
                writer.write(np.roll(noise, index * 7, axis=0), index)

    with files_limited_to(limit), pytest.raises(VideoError, match="cannot write"):
        fill()
    assert os.listdir(tmp_path) == []


def test_a_missing_folder_is_an_error_at_once(tmp_path):
    with pytest.raises(VideoError, match="there is no folder"):
        write_painted(tmp_path / "missing" / "out.mp4", [0])


def test_a_name_like_an_address_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_painted(Path("http:a%d.mp4"), [0, 1])
    assert os.listdir(tmp_path) == ["http:a%d.mp4"]


def test_a_video_without_frames_is_an_error(tmp_path):
    with pytest.raises(VideoError, match="at least one frame"):
        write_painted(tmp_path / "out.mp4", [])
    assert os.listdir(tmp_path) == []


def test_frames_that_do_not_fit_are_refused_and_the_rest_is_written(tmp_path):
    options = {"frame_rate": Fraction(25), "time_base": Fraction(1, 25)}
    with VideoWriter(tmp_path / "out.mp4", width=160, height=120, **options) as writer:
        writer.write(paint_index(0), 10)
        with pytest.raises(VideoError, match=r"of shape \(120, 160, 3\), not uint8 of shape"):
            writer.write(paint_index(1, 162, 120), 11)
        with pytest.raises(VideoError, match="not float64"):
            writer.write(paint_index(1).astype(float), 11)
        for pts in (10, 9):
            with pytest.raises(VideoError, match="must rise"):
                writer.write(paint_index(1), pts)
        writer.write(paint_index(1), 12)
    with open_video(tmp_path / "out.mp4") as reader:
        assert [painted_index(f.image_hwc) for f in reader.frames()] == [0, 1]


@pytest.mark.parametrize("wrong", [{"width": 0}, {"frame_rate": Fraction(0)}, {"time_base": 0}])
def test_impossible_settings_are_refused(tmp_path, wrong):
    settings = {"width": 64, "height": 48, "frame_rate": Fraction(25), "time_base": Fraction(1, 25)}
    with pytest.raises(VideoError, match="must be above 0"):
        VideoWriter(tmp_path / "out.mp4", **(settings | wrong))
    assert os.listdir(tmp_path) == []


def test_a_closed_writer_takes_no_frames(tmp_path):
    options = {"frame_rate": Fraction(25), "time_base": Fraction(1, 25)}
    writer = VideoWriter(tmp_path / "out.mp4", width=160, height=120, **options)
    writer.write(paint_index(0), 0)
    writer.close()
    writer.close()
    with pytest.raises(VideoError, match="is closed"):
        writer.write(paint_index(1), 1)
    assert os.listdir(tmp_path) == ["out.mp4"]

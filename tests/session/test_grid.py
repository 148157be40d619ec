"""Which frames are processed, and what the model sees of them."""

from __future__ import annotations

import pytest

from tests.made_videos import make_image_folder, make_video, painted_index
from tracker.errors import PromptError, SettingsError
from tracker.models.frames import UNKNOWN_LENGTH
from tracker.session.grid import FrameGrid, GridFrames
from tracker.types import Prompt
from tracker.video import open_video


def prompt(frame: int) -> Prompt:
    return Prompt(frame, 3, box_xyxy=(1, 1, 9, 9))


def test_positions_count_the_processed_frames():
    grid = FrameGrid(start=4, end=20, stride=5)
    assert [grid.frame(position) for position in range(4)] == [4, 9, 14, 19]
    assert [grid.position(frame) for frame in (4, 9, 14, 19)] == [0, 1, 2, 3]
    assert grid.length(None) == grid.length(100) == 4
    assert grid.length(12) == 2
    assert FrameGrid(stride=2).length(None) is None


def test_a_prompt_off_the_grid_is_told_where_it_may_lie():
    grid = FrameGrid(start=4, end=20, stride=5)
    grid.check(prompt(14))
    with pytest.raises(
        PromptError, match=r"object 3 on frame 12: every 5th .* prompt frame 9 or 14"
    ):
        grid.check(prompt(12))
    with pytest.raises(PromptError, match=r"only frames 4 to 19 are processed.*3@4:"):
        grid.check(prompt(0))
    with pytest.raises(PromptError, match="only frames 4 to 19"):
        grid.check(prompt(24))


def test_the_model_sees_the_grid_without_gaps(tmp_path):
    with open_video(make_video(tmp_path / "a.mp4", frames=12)) as video:
        frames = GridFrames(video, FrameGrid(start=2, stride=4))
        assert [painted_index(frames[position]) for position in (0, 1, 2, 1)] == [2, 6, 10, 6]
        assert frames.frame(2).index == 10
        assert (frames.width, frames.height) == (160, 120)
        with pytest.raises(IndexError):
            frames[3]


def test_only_counted_lengths_are_told(tmp_path):
    folder = make_image_folder(tmp_path / "images", [f"{n}.png" for n in range(7)])
    with open_video(folder) as video:
        assert len(GridFrames(video, FrameGrid(stride=3))) == 3
    with open_video(make_video(tmp_path / "a.mp4", frames=7)) as video:
        assert len(GridFrames(video, FrameGrid(stride=3))) == UNKNOWN_LENGTH
        bounded = GridFrames(video, FrameGrid(end=4))
        assert len(bounded) == 4
        with pytest.raises(IndexError):
            bounded[4]


def test_a_start_past_the_end_is_refused(tmp_path):
    with (
        open_video(make_video(tmp_path / "a.mp4", frames=5)) as video,
        pytest.raises(SettingsError, match="--start 5"),
    ):
        GridFrames(video, FrameGrid(start=5))

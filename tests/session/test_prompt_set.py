"""Prompts of one session."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from tracker.errors import PromptError
from tracker.session.grid import FrameGrid
from tracker.session.prompt_set import PromptSet
from tracker.types import Prompt, VideoInfo

INFO = VideoInfo("a.mp4", 64, 48, Fraction(25), Fraction(1, 25), 100)


def points(xy, sign=1, **more):
    return Prompt(0, 1, np.array([xy], np.float32), np.array([sign], np.int32), **more)


@pytest.fixture
def prompts():
    return PromptSet(INFO, FrameGrid())


def test_points_and_a_box_for_one_object_on_one_frame_become_one_prompt(prompts):
    prompts.add(points((5, 5)))
    prompts.add(Prompt(0, 1, box_xyxy=(1, 2, 30, 40), label="cup"))
    prompts.add(points((7, 8)))
    (joined,) = prompts.prompts
    assert joined.points_n2.tolist() == [[5, 5], [7, 8]]
    assert joined.box_xyxy == (1, 2, 30, 40)
    assert prompts.labels == {1: "cup"}


@pytest.mark.parametrize(("xy", "view"), [((41, 30), (0, 0, 42, 42)), ((42, 30), None)])
def test_a_view_stays_as_long_as_all_that_is_marked_lies_in_it(prompts, xy, view):
    prompts.add(Prompt(0, 1, box_xyxy=(1, 2, 30, 40), view_xyxy=(0, 0, 42, 42)))
    assert prompts.correct(points(xy)).view_xyxy == view
    (joined,) = prompts.prompts
    assert (joined.view_xyxy, joined.points_n2.tolist()) == (view, [list(xy)])


def test_objects_frames_and_free_ids(prompts):
    prompts.add(Prompt(9, 4, box_xyxy=(1, 2, 30, 40)))
    prompts.add(Prompt(3, 4, box_xyxy=(1, 2, 30, 40), label="cup"))
    prompts.add(points((5, 5)))
    assert prompts.object_ids == (1, 4)
    assert prompts.next_object_id == 5
    assert prompts.labels == {1: None, 4: "cup"}
    assert len(prompts.prompts) == 3


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (Prompt(0, 1, box_xyxy=(2, 2, 9, 9)), "has two boxes"),
        (Prompt(0, 1, mask_hw=np.ones((48, 64), bool)), "a mask and another prompt"),
        (Prompt(5, 1, box_xyxy=(2, 2, 9, 9), label="ball"), "both 'cup' and 'ball'"),
        (Prompt(5, 1, box_xyxy=(2, 2, 65, 9)), "box 2,2,65,9 lies outside"),
        (
            Prompt(5, 1, box_xyxy=(2, 2, 9, 9), view_xyxy=(0, 0, 65, 9)),
            "view 0,0,65,9 lies outside",
        ),
    ],
)
def test_what_contradicts_is_refused_and_changes_nothing(prompts, second, message):
    prompts.add(Prompt(0, 1, box_xyxy=(1, 2, 30, 40), label="cup"))
    before = prompts.prompts
    with pytest.raises(PromptError, match=message):
        prompts.add(second)
    assert prompts.prompts == before

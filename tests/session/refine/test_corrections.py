"""What corrections make of a run's prompts, and which stretches they touch."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from tracker.errors import PromptError
from tracker.session.grid import FrameGrid
from tracker.session.refine.corrections import Corrections, ObjectPlan, Walk, plan
from tracker.types import Prompt, VideoInfo

INFO = VideoInfo("/v/a.mp4", 64, 48, Fraction(25), Fraction(1, 12800), 100)
LENGTH = 100


def box(frame, object_id=1, left=1, **more):
    return Prompt(frame, object_id, box_xyxy=(left, 2, 40, 40), **more)


def at(*places, left=1):
    return {place: box(place, left=left) for place in places}


def point(frame, x):
    return Prompt(frame, 1, [[x, 5]], [1])


def test_a_new_prompt_goes_on_to_the_next_and_back_to_the_one_before():
    assert plan(at(0, 60), at(0, 30, 60), "forward", LENGTH).walks == (
        Walk(30, 60, 30),
        Walk(30, 0, 30, back=True, own=False),
    )
    assert plan(at(0), at(0, 30), "forward", LENGTH).walks == (
        Walk(30, LENGTH, 30),
        Walk(30, 0, 30, back=True, own=False),
    )


def test_in_a_run_backward_it_is_the_other_way_round():
    assert plan(at(60), at(60, 30), "backward", LENGTH).walks == (
        Walk(30, -1, 30),
        Walk(30, 60, 30, back=True, own=False),
    )
    assert plan(at(60, 30), at(30), "backward", LENGTH) == ObjectPlan((), range(31, 61))


def test_before_the_first_prompt_only_runs_in_both_directions_have_masks():
    forward = plan(at(50), at(20, 50), "forward", LENGTH)
    assert forward.walks == (Walk(20, 50, 20),)
    both = plan(at(50), at(20, 50), "both", LENGTH)
    assert both.walks == (Walk(20, 50, 20), Walk(20, -1, 20, back=True, own=False))
    assert plan({}, at(0), "both", LENGTH).walks == (Walk(0, LENGTH, 0),)


def test_a_changed_prompt_counts_as_new_and_a_new_name_does_not():
    assert plan(at(0, 30), {**at(0), **at(30, left=9)}, "forward", LENGTH).walks == (
        Walk(30, LENGTH, 30),
        Walk(30, 0, 30, back=True, own=False),
    )
    assert not plan(at(0), {0: box(0, label="cup")}, "forward", LENGTH)
    assert not plan(at(0), at(0), "both", LENGTH)


def test_without_a_prompt_the_whole_stretch_it_lay_in_is_made_again():
    assert plan(at(0, 30, 60), at(0, 60), "forward", LENGTH).walks == (Walk(0, 60, 30, own=False),)
    assert plan(at(0, 30), at(30), "forward", LENGTH) == ObjectPlan((), range(30))
    assert plan(at(10, 30), at(30), "both", LENGTH).walks == (
        Walk(30, -1, 10, back=True, own=False),
    )


def test_no_stretch_is_made_again_twice():
    walks = plan({}, at(0, 30), "forward", LENGTH).walks
    assert walks == (Walk(0, 30, 0), Walk(30, LENGTH, 30))
    walks = plan(at(0, 20), at(0, 30), "forward", LENGTH).walks
    assert walks == (Walk(0, 30, 20, own=False), Walk(30, LENGTH, 30))


def test_a_dropped_object_is_absent_everywhere():
    assert plan(at(3), {}, "forward", LENGTH) == ObjectPlan((), range(LENGTH))


def applied(corrections, prompts=None):
    given = [box(0), box(10, 2)] if prompts is None else prompts
    return corrections.applied(tuple(given), INFO, FrameGrid())


def test_points_join_and_boxes_take_the_place_of_what_was_there():
    joined = applied(Corrections((point(5, 9),)), [box(0), point(5, 3)])
    assert joined[1].points_n2.tolist() == [[3, 5], [9, 5]]
    replaced = applied(Corrections((box(0, left=20),)), [box(0, label="cup")])
    assert (replaced[0].box_xyxy[0], replaced[0].label) == (20, "cup")
    assert applied(Corrections((point(0, 9),)))[0].kind == "box+points"
    mask = Prompt(0, 1, mask_hw=np.ones((48, 64), bool))
    assert applied(Corrections((point(0, 9),)), [mask])[0].kind == "points"


def test_removing_dropping_naming():
    kept = applied(Corrections(removed=((1, 5),), labels={2: "ball"}), [box(0), box(5), box(1, 2)])
    assert [(p.object_id, p.frame, p.label) for p in kept] == [(1, 0, None), (2, 1, "ball")]
    assert [p.object_id for p in applied(Corrections(dropped=(1,)))] == [2]
    assert [p.frame for p in applied(Corrections(replacement=(box(7),)))] == [7]
    moved = applied(Corrections((box(4),), removed=((1, 0),)), [box(0)])
    assert [p.frame for p in moved] == [4]


@pytest.mark.parametrize(
    ("corrections", "message"),
    [
        (Corrections(removed=((1, 3),)), "object 1 has no prompt on frame 3"),
        (Corrections(removed=((1, 0),)), "last prompt of object 1; .* --drop-object 1"),
        (Corrections(dropped=(7,)), "there is no object 7"),
        (Corrections(dropped=(1, 2)), "leaves no object"),
        (Corrections(labels={7: "cup"}), "there is no object 7"),
        (Corrections((box(0, left=-3),)), "lies outside"),
    ],
)
def test_what_cannot_be_is_refused(corrections, message):
    with pytest.raises(PromptError, match=message):
        applied(corrections)


def test_what_was_asked_is_told():
    asked = Corrections((box(3),), ((1, 5),), (2,), {1: "cup"}, (box(0),)).asked
    assert asked == (
        "other prompts",
        "box for object 1 on frame 3",
        "without the prompt of object 1 on frame 5",
        "without object 2",
        "object 1 is 'cup'",
    )

"""What goes wrong in SAM2's own predictor, and right in ours: both are run."""

from __future__ import annotations

from typing import Any

import pytest

from tracker.errors import PromptError

BOX = [60, 70, 120, 120]


def corrected(predictor: Any, state: Any) -> Any:
    """One object, tracked for nine frames and then corrected on the seventh; tracked on to 16."""
    predictor.add_new_points_or_box(state, 0, 1, box=BOX)
    for _ in predictor.propagate_in_video(state, max_frame_num_to_track=8):
        pass
    predictor.add_new_points_or_box(state, 6, 1, points=[[30, 30]], labels=[0])
    for _ in predictor.propagate_in_video(state, 6, max_frame_num_to_track=10):
        pass
    return state["output_dict_per_obj"][0]


def test_a_correction_is_forgotten_after_six_frames(
    small_reference: Any, small_streaming: Any, clip: Any
) -> None:
    as_published = "++model.add_all_frames_to_correct_as_cond=false"
    reference = small_reference(as_published)
    theirs = corrected(reference, reference.init_state(str(clip.folder)))
    assert list(theirs["cond_frame_outputs"]) == [0]  # frame 6 is a frame like any other, and
    assert 6 in theirs["non_cond_frame_outputs"]  # frame 13 no longer reads it
    ours = small_streaming()
    outputs = corrected(ours, ours.init_state(clip))
    assert list(outputs["cond_frame_outputs"]) == [0, 6]
    read = ours._reader.reading(outputs, 17, 64, reverse=False)
    assert (0, 6) in read.memories and (11, 6) in read.pointers


def test_clearing_around_a_prompt_crashes(
    small_reference: Any, small_streaming: Any, clip: Any
) -> None:
    override = "++model.clear_non_cond_mem_around_input=true"
    reference, ours = small_reference(override), small_streaming(override)
    state = reference.init_state(str(clip.folder))
    reference.add_new_points_or_box(state, 0, 1, box=BOX)
    with pytest.raises(AttributeError, match="_clear_obj_non_cond_mem_around_input"):
        next(reference.propagate_in_video(state))
    outputs = corrected(ours, ours.init_state(clip))
    assert min(outputs["non_cond_frame_outputs"]) > 6  # cleared around frame 6, then tracked on


def test_a_refused_prompt_leaves_a_ghost(reference: Any, predictor: Any, clip: Any) -> None:
    state = reference.init_state(str(clip.folder))
    reference.add_new_points_or_box(state, 0, 1, box=BOX)
    with pytest.raises(ValueError, match="at least one of points or box"):
        reference.add_new_points_or_box(state, 0, 2)
    assert state["obj_ids"] == [1, 2]
    with pytest.raises(RuntimeError, match="object id 2"):
        next(reference.propagate_in_video(state))

    state = predictor.init_state(clip)
    predictor.add_new_points_or_box(state, 0, 1, box=BOX)
    with pytest.raises(PromptError, match="at least one point or a box"):
        predictor.add_new_points_or_box(state, 0, 2)
    _, ids, _ = next(predictor.propagate_in_video(state))
    assert ids == [1]

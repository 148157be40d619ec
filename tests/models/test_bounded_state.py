"""What is kept of a tracking state, frame by frame."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import pytest

from tracker.models.bounded_state import Reach, TrackedFrames, forget, prompted_frames, readable

REACH = Reach(memory=6, pointer=15)


def outputs(propagated: range, prompted: tuple[int, ...] = (0,)) -> dict[str, Any]:
    def out() -> dict[str, Any]:
        memory = {"maskmem_features": "features", "maskmem_pos_enc": ["positions"]}
        shown = {"pred_masks": "masks", "object_score_logits": 1.0, "predicted_iou": 0.9}
        return {**memory, **shown, "obj_ptr": "pointer"}

    return {
        "cond_frame_outputs": {frame: out() for frame in prompted},
        "non_cond_frame_outputs": {f: out() for f in propagated if f not in prompted},
    }


def frames_with(stored: dict[str, Any], key: str) -> list[int]:
    return [f for f, out in stored["non_cond_frame_outputs"].items() if out[key] is not None]


@pytest.mark.parametrize(
    ("stride", "memory"), [(1, 6), (2, 11), (5, 26)], ids=lambda value: str(value)
)
def test_reach_is_the_farthest_frame_that_sam2_reads(stride: int, memory: int) -> None:
    model = SimpleNamespace(
        memory_temporal_stride_for_eval=stride,
        num_maskmem=7,
        use_obj_ptrs_in_encoder=True,
        max_obj_ptrs_in_encoder=16,
    )
    assert Reach.of(model) == Reach(memory, 15)
    # sam2_base.py:538-555 for a frame far into the video, of either remainder
    read = [
        frame - (((frame - 2) // stride) * stride - (t_rel - 2) * stride)
        for frame in range(100, 100 + stride)
        for t_rel in range(2, 7)
    ]
    assert max(read) == memory


def test_a_model_without_pointers_or_memory() -> None:
    model = SimpleNamespace(
        memory_temporal_stride_for_eval=1,
        num_maskmem=1,
        use_obj_ptrs_in_encoder=False,
        max_obj_ptrs_in_encoder=16,
    )
    assert Reach.of(model) == Reach(0, 0)


def test_around_the_newest_and_the_prompted_frame() -> None:
    stored = outputs(range(101), prompted=(0, 50))
    forget(stored, {0, 50, 100}, REACH)
    assert list(stored["cond_frame_outputs"]) == [0, 50]
    near = [*range(1, 16), *range(35, 50), *range(51, 66), *range(85, 101)]
    assert frames_with(stored, "obj_ptr") == near
    nearer = [*range(1, 7), *range(44, 50), *range(51, 57), *range(94, 101)]
    assert frames_with(stored, "maskmem_features") == nearer
    assert frames_with(stored, "maskmem_pos_enc") == nearer
    assert frames_with(stored, "pred_masks") == [100]
    assert frames_with(stored, "predicted_iou") == [100]
    assert all(out["pred_masks"] for out in stored["cond_frame_outputs"].values())


def test_the_other_side_in_reverse() -> None:
    stored = outputs(range(60), prompted=(60,))
    forget(stored, {60, 10}, REACH)
    assert frames_with(stored, "maskmem_features") == [*range(4, 17), *range(54, 60)]
    assert frames_with(stored, "obj_ptr") == [*range(26), *range(45, 60)]


def test_what_another_object_needs_is_kept() -> None:
    first, second = outputs(range(100), (0,)), outputs(range(100), (40,))
    assert prompted_frames([first, second]) == {0, 40}
    forget(first, prompted_frames([first, second]) | {99}, REACH)
    assert 38 in frames_with(first, "maskmem_features")
    assert frames_with(first, "pred_masks") == [40, 99]


def test_an_output_without_its_memory_is_not_read_as_one() -> None:
    stored = outputs(range(51))
    forget(stored, {0, 50}, REACH)
    seen = readable(stored, 48, REACH)
    # 42 and 43 are within 6 frames of 48 but have only their pointers; 41 is read for its pointer
    assert [f for f in seen["non_cond_frame_outputs"] if 35 <= f < 48] == [
        *range(35, 42),
        *range(44, 48),
    ]
    assert seen["cond_frame_outputs"] is stored["cond_frame_outputs"]


def test_tracked_frames_are_the_dict_they_stand_for() -> None:
    rng = random.Random(4)
    runs, plain = TrackedFrames(), {}
    for _ in range(400):
        frame, reverse = rng.randrange(40), rng.random() < 0.5
        if rng.random() < 0.3:
            runs.pop(frame, None)
            plain.pop(frame, None)
        else:
            for each in range(frame, frame + rng.randrange(1, 6)):
                runs[each] = {"reverse": reverse}
                plain[each] = {"reverse": reverse}
        for each in range(50):
            assert (each in runs) == (each in plain)
            if each in plain:
                assert runs[each] == plain[each]
    with pytest.raises(KeyError):
        runs[99]
    runs.clear()
    assert 0 not in runs


def test_tracked_frames_hold_one_run_per_stretch() -> None:
    tracked = TrackedFrames()
    for frame in range(1000):
        tracked[frame] = {"reverse": False}
    for frame in range(500, 100, -1):
        tracked[frame] = {"reverse": True}
    assert sorted(tracked._runs) == [(0, 100, False), (101, 500, True), (501, 999, False)]

"""Which past frames each policy reads, on scripted histories."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest

from tracker import settings
from tracker.models.bounded_state import KEPT
from tracker.models.memory_policies import (
    POLICIES,
    Candidates,
    DistractorMemory,
    PresenceMemory,
    Sam2Memory,
)

SLOTS = 6


def history(scores: dict[int, float]) -> dict[str, Any]:
    """Outputs of propagated frames with these object scores."""
    outs = {frame: {"object_score_logits": score} for frame, score in scores.items()}
    return {"cond_frame_outputs": {}, "non_cond_frame_outputs": outs}


def candidates(width: int = 20, elsewhere: bool = True, **changed: float) -> Candidates:
    """A square of `width` pixels, and an alternative in the other corner or in the same place."""
    chosen, other = np.zeros((64, 64), bool), np.zeros((64, 64), bool)
    chosen[:20, :width] = True
    other[40:, 40:] = elsewhere
    other[:20, :width] = not elsewhere
    values = {"predicted_iou": 0.9, "object_score": 5.0, **changed}
    return Candidates([chosen, other], 0, **values)


def test_the_settings_name_every_policy() -> None:
    assert get_args(settings.MemoryPolicy) == tuple(POLICIES)


@pytest.mark.parametrize(
    ("stride", "reverse", "frames"),
    [
        (1, False, [94, 95, 96, 97, 98, 99]),
        (1, True, [106, 105, 104, 103, 102, 101]),
        (5, False, [75, 80, 85, 90, 95, 99]),  # 98 // 5 * 5 = 95
        (5, True, [125, 120, 115, 110, 105, 101]),
    ],
)
def test_sam2_reads_the_frame_before_and_every_stride_th(
    stride: int, reverse: bool, frames: list[int]
) -> None:
    policy = Sam2Memory()
    read = policy.recent(history({}), 100, reverse, stride, SLOTS)
    assert read == list(zip(range(1, 7), frames, strict=True))
    assert max(abs(100 - frame) for frame in frames) <= policy.reach(stride, SLOTS)


def test_presence_leaves_out_frames_without_the_object_but_for_the_last() -> None:
    scores = {94: 5.0, 95: -1.0, 96: 0.0, 97: 2.0, 98: 7.0, 99: -3.0}
    read = PresenceMemory().recent(history(scores), 100, False, 1, SLOTS)
    assert read == [(1, 94), (4, 97), (5, 98), (6, 99)]
    scores[99] = 4.0
    assert PresenceMemory().recent(history(scores), 100, False, 1, SLOTS)[-1] == (6, 99)


def test_distractor_reads_every_fifth_frame_and_its_anchors() -> None:
    policy = DistractorMemory()
    outputs = history(dict.fromkeys(range(80, 100), 5.0))
    stored = outputs["non_cond_frame_outputs"]
    assert policy.recent(outputs, 100, False, 1, SLOTS) == [(4, 90), (5, 95), (6, 99)]
    stored[82][KEPT] = stored[90][KEPT] = True
    stored[95]["object_score_logits"] = -2.0
    read = policy.recent(outputs, 100, False, 1, SLOTS)
    assert read == [(0, 82), (0, 90), (6, 99)]  # no frame twice, none without the object
    farthest = max(
        abs(frame - t)
        for frame in range(100, 110)
        for _, t in policy.recent(history(dict.fromkeys(range(200), 1.0)), frame, False, 1, SLOTS)
    )
    assert farthest == policy.reach(1, SLOTS)


@pytest.mark.parametrize(
    ("seen", "is_anchor"),
    [
        (candidates(), True),
        (candidates(predicted_iou=0.8), False),
        (candidates(object_score=-1.0), False),
        (candidates(width=25), False),  # a quarter larger than usual
        (candidates(width=23), True),
        (candidates(elsewhere=False), False),
    ],
)
def test_what_makes_an_anchor(seen: Candidates, is_anchor: bool) -> None:
    outputs = history(dict.fromkeys(range(1, 12), 5.0))
    stored = outputs["non_cond_frame_outputs"]
    for frame in range(1, 11):
        stored[frame]["area_px"] = 400
    DistractorMemory().note(outputs, 11, seen)
    assert bool(stored[11].get(KEPT)) == is_anchor


def test_anchors_are_apart_and_few() -> None:
    policy, outputs = DistractorMemory(), history({})
    stored = outputs["non_cond_frame_outputs"]
    for frame in range(1, 40):
        stored[frame] = {"object_score_logits": 5.0}
        policy.note(outputs, frame, candidates())
    # The first frame has nothing to compare its area with; then every sixth, the newest three.
    assert [frame for frame, out in stored.items() if out.get(KEPT)] == [26, 32, 38]


def test_without_a_mask_nothing_lies_elsewhere() -> None:
    empty = np.zeros((4, 4), bool)
    assert Candidates([empty, ~empty], 0, 0.9, 5.0).least_box_iou == 1.0
    assert Candidates([~empty, empty], 0, 0.9, 5.0).least_box_iou == 1.0
    assert Candidates([~empty, empty], 0, 0.9, 5.0).area_px == 16

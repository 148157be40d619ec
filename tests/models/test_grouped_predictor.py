"""All objects in one pass, memory policies, precision and batches of frames, on real passes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tracker.errors import SettingsError, VideoError
from tracker.locations import shipped
from tracker.masks import iou
from tracker.models import compiling
from tracker.models.bounded_state import KEPT
from tracker.models.compiling import CompiledParts
from tracker.models.streaming import build_streaming_video_predictor

BOX = [60, 70, 120, 120]


def tracked(predictor: Any, source: Any, last: int = 6, objects: int = 3) -> tuple[Any, Any]:
    """The masks of some objects from frame 0 on, and the state."""
    logits, state = tracked_logits(predictor, source, last, objects)
    return [each > 0 for each in logits], state


def tracked_logits(predictor: Any, source: Any, last: int, objects: int = 3) -> tuple[Any, Any]:
    state = predictor.init_state(source)
    for number in range(objects):
        x = 30 * number
        predictor.add_new_points_or_box(state, 0, number + 1, box=[x, 40, x + 60, 100])
    steps = predictor.propagate_in_video(state, None, last)
    return [logits[:, 0].numpy() for _, _, logits in steps], state


def test_other_weights_leave_nothing_of_the_first(small_streaming: Any, clip: Any) -> None:
    """Tables and turned projections that were made on the way are made anew."""
    used, fresh = small_streaming(), small_streaming()
    before = tracked_logits(used, clip, 3)[0]
    weights = {name: 0.9 * weight for name, weight in used.state_dict().items()}
    for each in (used, fresh):
        each.load_state_dict(weights)
    after, expected = (tracked_logits(each, clip, 3)[0] for each in (used, fresh))
    for a, b in zip(after, expected, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(after[-1], before[-1])


def least_iou(a: Any, b: Any) -> float:
    pairs = [(x, y) for one, two in zip(a, b, strict=True) for x, y in zip(one, two, strict=True)]
    return min(iou(x, y) for x, y in pairs)


@pytest.fixture
def decoded(predictor: Any) -> Iterator[list[int]]:
    """How many objects went through the mask decoder in each of its calls."""
    batches: list[int] = []
    hook = predictor.sam_mask_decoder.register_forward_hook(
        lambda *call: batches.append(len(call[-1][0]))
    )
    yield batches
    hook.remove()


def test_objects_that_read_alike_go_together(predictor: Any, clip: Any, decoded: Any) -> None:
    state = predictor.init_state(clip)
    for number in (1, 2, 3):
        predictor.add_new_points_or_box(state, 0, number, box=BOX)
    for _ in predictor.propagate_in_video(state, max_frame_num_to_track=3):
        pass
    predictor.add_new_points_or_box(state, 3, 4, box=BOX)
    decoded.clear()
    frames = list(predictor.propagate_in_video(state, 4, max_frame_num_to_track=1))
    assert decoded == [3, 1, 3, 1]
    assert [len(masks) for _, _, masks in frames] == [4, 4]


def test_an_object_has_memory_of_its_own(predictor: Any, clip: Any) -> None:
    """Else one object's output would keep the others' alive."""
    _, state = tracked(predictor, clip)
    for outputs in state["output_dict_per_obj"].values():
        for out in outputs["non_cond_frame_outputs"].values():
            for name in ("maskmem_features", "obj_ptr"):
                assert out[name].untyped_storage().nbytes() == out[name].nbytes


def test_more_objects_than_go_together(
    predictor: Any, clip: Any, decoded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = tracked(predictor, clip, last=3)
    monkeypatch.setattr("tracker.models.grouped_predictor.MOST_TOGETHER", 2)
    decoded.clear()
    parts, _ = tracked(predictor, clip, last=3)
    assert decoded == [1, 1, 1, 2, 1, 2, 1, 2, 1]
    assert least_iou(whole, parts) >= 0.999


def test_prompted_frames_are_bounded(small_streaming: Any, clip: Any) -> None:
    predictor = small_streaming(max_cond_frames=4)
    state = predictor.init_state(clip)
    for frame in range(0, 40, 4):
        predictor.add_new_points_or_box(state, frame, 1, box=BOX)
    outputs = state["output_dict_per_obj"][0]
    read = {}
    for frame, _, _ in predictor.propagate_in_video(state, max_frame_num_to_track=45):
        reading = predictor._reader.reading(outputs, frame, 64, reverse=False)
        read[frame] = [t for slot, t in reading.memories if slot == 0]
    assert read[17] == [0, 16, 20, 36]  # the first, the nearest two, the newest
    assert max(len(frames) for frames in read.values()) == 4
    assert list(outputs["cond_frame_outputs"]) == [0, 28, 32, 36]
    assert list(state["point_inputs_per_obj"][0]) == [0, 28, 32, 36]


def test_few_prompted_frames_are_all_read(predictor: Any, clip: Any) -> None:
    state = predictor.init_state(clip)
    for frame in range(0, 12, 2):
        predictor.add_new_points_or_box(state, frame, 1, box=BOX)
    for _ in predictor.propagate_in_video(state, max_frame_num_to_track=14):
        pass
    assert list(state["output_dict_per_obj"][0]["cond_frame_outputs"]) == list(range(0, 12, 2))


def test_several_frames_encoded_at_once(small_streaming: Any, predictor: Any, clip: Any) -> None:
    source = replace(clip, length=10, length_known=False)
    expected, _ = tracked_logits(predictor, source, last=20)
    batched = small_streaming(batch_frames=4)
    sizes: list[int] = []
    batched.image_encoder.register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))
    found, state = tracked_logits(batched, source, last=20)
    assert len(found) == 10
    # Rounding: on some processors a patch of logits within 1e-7 of 0 tips.
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert sizes == [1, 3, 4, 2]  # batches end at multiples of four
    assert len(state["cached_features"]) <= 4


def test_bfloat16_is_sam2_under_autocast(
    small_reference: Any, small_streaming: Any, clip: Any
) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        expected, _ = tracked(small_reference(), str(clip.folder), objects=2)
    found, _ = tracked(small_streaming(precision="bf16", exact=True), clip, objects=2)
    assert least_iou(expected, found) == 1.0


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_lower_precision_is_near(
    small_streaming: Any, predictor: Any, clip: Any, precision: str
) -> None:
    expected, _ = tracked(predictor, clip, objects=2)
    found, state = tracked(small_streaming(precision=precision), clip, objects=2)
    ious = [
        iou(x, y) for a, b in zip(expected, found, strict=True) for x, y in zip(a, b, strict=True)
    ]
    assert np.mean(ious) > 0.9, ious
    out = state["output_dict_per_obj"][0]["non_cond_frame_outputs"][6]
    assert out["predicted_iou"].dtype == torch.float32


@pytest.mark.parametrize("policy", ["presence", "distractor"])
def test_memory_policies_track(small_streaming: Any, clip: Any, policy: str) -> None:
    predictor = small_streaming(memory_policy=policy)
    masks, state = tracked(predictor, clip, last=40, objects=2)
    assert len(masks) == 41 and all(frame.shape == (2, 144, 176) for frame in masks)
    stored = state["output_dict_per_obj"][0]["non_cond_frame_outputs"]
    assert len(stored) <= 2 * 15 + 2 + 3  # around the first and the last frame, and anchors
    kept = [out for out in stored.values() if out.get(KEPT)]
    assert len(kept) <= 3 and all(out["maskmem_features"] is not None for out in kept)


def test_presence_is_sam2_while_the_object_is_there(
    small_streaming: Any, predictor: Any, clip: Any
) -> None:
    expected, state = tracked(predictor, clip, last=12)
    scores = state["output_dict_per_obj"][0]["non_cond_frame_outputs"]
    assert all(float(out["object_score_logits"]) > 0 for out in scores.values())
    found, _ = tracked(small_streaming(memory_policy="presence"), clip, last=12)
    assert all(np.array_equal(a, b) for a, b in zip(expected, found, strict=True))


def test_compiled_parts_give_the_same(
    small_streaming: Any, predictor: Any, clip: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With torch's tracing alone: a compiler would take minutes."""
    monkeypatch.setattr(
        "tracker.models.grouped_predictor.CompiledParts",
        lambda model: CompiledParts(model, backend="eager"),
    )
    steady: list[int] = []
    monkeypatch.setattr(
        compiling, "attend", lambda *args: steady.append(1) or predictor_attend(*args)
    )
    expected, _ = tracked(predictor, clip, last=18, objects=2)
    found, _ = tracked(small_streaming(compile=True), clip, last=18, objects=2)
    assert least_iou(expected, found) >= 0.999
    assert steady  # from the 16th frame on


def predictor_attend(*args: Any) -> Any:
    from tracker.models.shared_attention import attend

    return attend(*args)


def test_frames_that_come_one_by_one(predictor: Any, clip: Any) -> None:
    expected, _ = tracked(predictor, replace(clip, length=8, length_known=False), last=30)
    taken: list[int] = []

    def camera() -> Iterator[Any]:
        for index in range(8):
            taken.append(index)
            yield clip[index]

    state = predictor.init_state(camera())
    for number in range(3):
        x = 30 * number
        predictor.add_new_points_or_box(state, 0, number + 1, box=[x, 40, x + 60, 100])
    assert taken == [0]
    found = []
    for frame, _, masks in predictor.propagate_in_video(state):
        assert taken[-1] == frame  # nothing is read ahead of a live source
        found.append(masks[:, 0].gt(0).numpy())
        if frame == 3:
            break
    predictor.add_new_points_or_box(state, 3, 1, points=[[50, 60]], labels=[1])
    for _, _, masks in predictor.propagate_in_video(state, 4):
        found.append(masks[:, 0].gt(0).numpy())
    assert len(found) == 8
    assert least_iou(expected[:4], found[:4]) == 1.0


def test_frames_that_cannot_be_used(predictor: Any, clip: Any) -> None:
    for frames, message in (
        ([], "no frames"),
        ([np.zeros((4, 4), np.uint8)], "RGB uint8"),
        ([np.zeros((4, 4, 3), np.float32)], "RGB uint8"),
    ):
        with pytest.raises(VideoError, match=message):
            predictor.init_state(iter(frames))
    state = predictor.init_state(iter([clip[0], clip[1][:50]]))
    predictor.add_new_points_or_box(state, 0, 1, box=BOX)
    with pytest.raises(VideoError, match="frame 1 has another size"):
        list(predictor.propagate_in_video(state))


def test_old_frames_of_a_camera_are_gone(predictor: Any, endless_clip: Any) -> None:
    clip = endless_clip(100)
    state = predictor.init_state(clip[index] for index in range(100))
    assert state["images"].source[80].shape == (48, 64, 3)
    with pytest.raises(VideoError, match="frame 10 is gone"):
        state["images"].source[10]
    assert np.array_equal(state["images"].source[60], clip[60])


def test_switches_that_contradict() -> None:
    config = "configs/sam2.1/sam2.1_hiera_t.yaml"
    with pytest.raises(SettingsError, match="exact keeps SAM2's bits"):
        build_streaming_video_predictor(config, device="cpu", exact=True, batch_frames=4)
    with pytest.raises(SettingsError, match="give compile=True"):
        build_streaming_video_predictor(config, device="cpu", vos_optimized=True)


@pytest.mark.parametrize(
    ("switches", "exact"),
    [({}, True), ({"exact": False}, False), ({"memory_policy": "presence"}, False)],
)
def test_the_reference_bits_are_kept_unless_a_switch_is_given(switches: Any, exact: bool) -> None:
    config = shipped("configs") / "sam2" / "demo.yaml"
    predictor = build_streaming_video_predictor(config, device="cpu", **switches)
    assert predictor.options.exact is exact

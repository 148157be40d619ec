"""What the streaming predictor adds to SAM2's: a bounded state, scores, refusals, corrections."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.made_videos import make_video
from tracker.edges import fit_to_edges
from tracker.errors import ModelError, PromptError, VideoError
from tracker.models.choosing import choose
from tracker.models.colour_memory import remembered_colours
from tracker.models.holes import fill_holes
from tracker.models.streaming import build_streaming_video_predictor
from tracker.prompted_colours import colour_bins, in_square
from tracker.types import Frame, ObjectMask

BOX = [60, 70, 120, 120]


def last(results: Iterable[Any]) -> Any:
    *_, result = results
    return result


def tensors_in(value: Any, found: dict[int, torch.Tensor]) -> int:
    """Collect every tensor that `value` reaches; returns how many entries its containers have."""
    if isinstance(value, torch.Tensor):
        found[value.untyped_storage().data_ptr()] = value
        return 0
    if isinstance(value, dict):
        return len(value) + sum(tensors_in(each, found) for each in value.values())
    if isinstance(value, list | tuple | set):
        return len(value) + sum(tensors_in(each, found) for each in value)
    return tensors_in(vars(value), found) if hasattr(value, "__dict__") else 0


def size_of(state: Any) -> tuple[int, int, int]:
    """Entries, tensors and bytes of a state."""
    found: dict[int, torch.Tensor] = {}
    kept = {key: value for key, value in state.items() if key not in ("device", "storage_device")}
    entries = tensors_in(kept, found)
    return entries, len(found), sum(t.untyped_storage().nbytes() for t in found.values())


@pytest.mark.parametrize(("reverse", "lengths"), [(False, (60, 300)), (True, (60, 120))])
def test_state_does_not_grow_with_the_video(
    small_streaming: Any, endless_clip: Any, reverse: bool, lengths: tuple[int, int]
) -> None:
    predictor = small_streaming("++model.image_size=32", "++model.memory_attention.num_layers=1")
    sizes = []
    for length in lengths:
        state = predictor.init_state(endless_clip(length))
        start = length - 1 if reverse else 0
        predictor.add_new_points_or_box(state, start, 1, box=[4, 4, 30, 30])
        assert sum(1 for _ in predictor.track(state, reverse=reverse)) == length
        sizes.append(size_of(state))
    assert sizes[0] == sizes[1]
    assert sizes[0][1] > 20  # the walk over the state does reach its tensors


def test_state_does_not_grow_with_passes(predictor: Any, clip: Any) -> None:
    """Both ways again and again around prompts in the middle: as large as after the first time."""
    state = predictor.init_state(clip)
    predictor.add_new_points_or_box(state, 25, 1, box=BOX)
    predictor.add_new_points_or_box(state, 25, 2, points=[[30, 30]], labels=[1])
    sizes = []
    for _ in range(2):
        for reverse in (False, True):
            last(predictor.track(state, max_frame_num_to_track=20, reverse=reverse))
        sizes.append(size_of(state))
    assert sizes[0] == sizes[1]


def test_few_frames_of_a_large_video_are_held(tmp_path: Path) -> None:
    """1080p, of which 43 frames are 256 MiB; in the middle frames are only read, to save time."""
    before = frames_alive()
    path = make_video(tmp_path / "large.mp4", 72, size=(1920, 1080))
    predictor = build_streaming_video_predictor(
        "configs/sam2.1/sam2.1_hiera_t.yaml",
        hydra_overrides_extra=["++model.image_size=64"],
        device="cpu",
    )
    state = predictor.init_state(path)
    source = state["images"].source
    predictor.add_new_points_or_box(state, 0, 1, box=[400, 300, 1200, 900])
    tracked = []
    for start in (0, 66):
        for frame, _, masks in predictor.propagate_in_video(state, start, 5):
            assert frames_alive() - before <= 64
            assert masks.shape == (1, 1, 1080, 1920)
            tracked.append(frame)
        for between in range(frame, 66):
            assert source[between].shape == (1080, 1920, 3)
    assert tracked == [*range(6), *range(66, 72)]
    assert 40 < frames_alive() - before <= 64


def frames_alive() -> int:
    return sum(type(each) is Frame for each in gc.get_objects())


def test_track_gives_masks_with_both_scores(predictor: Any, clip: Any) -> None:
    runs = []
    for method in (predictor.track, predictor.propagate_in_video):
        state = predictor.init_state(clip)
        mask_hw = np.zeros((clip.height, clip.width), bool)
        mask_hw[30:70, 90:140] = True
        predictor.add_new_mask(state, 0, 7, mask_hw)
        predictor.add_new_points_or_box(state, 0, 2, box=BOX)
        runs.append(list(method(state, max_frame_num_to_track=5)))
    for (frame, objects), (same_frame, ids, logits) in zip(*runs, strict=True):
        assert frame == same_frame
        assert [each.object_id for each in objects] == [2, 7] and ids == [7, 2]
        assert all(isinstance(each, ObjectMask) for each in objects)
        for each in objects:
            is_given = (frame, each.object_id) == (0, 7)
            tracked_hw = (logits[ids.index(each.object_id), 0] > 0).numpy()
            np.testing.assert_array_equal(each.mask_hw, mask_hw if is_given else tracked_hw)
            assert 0 < each.predicted_iou <= 1
    of_mask_prompt, tracked = runs[0][0][1][1], runs[0][1][1][1]
    assert (of_mask_prompt.predicted_iou, of_mask_prompt.object_score) == (1.0, 10.0)
    assert tracked.predicted_iou < 1 and 4 < tracked.object_score < 6  # the bias given is 5


def test_masks_that_are_handed_out_are_fitted_to_the_picture(
    small_streaming: Any, clip: Any
) -> None:
    fitting, given_hw = small_streaming(edges="picture"), np.zeros((clip.height, clip.width), bool)
    given_hw[30:70, 90:140] = True
    state = fitting.init_state(clip)
    fitting.add_new_mask(state, 0, 1, given_hw)
    fitting.add_new_points_or_box(state, 0, 2, box=BOX)
    fitted = [objects for _, objects in fitting.track(state, max_frame_num_to_track=4)]
    prompts = [each["cond_frame_outputs"] for each in state["output_dict_per_obj"].values()]
    colours = [remembered_colours(each.values()) for each in prompts]
    assert None not in colours
    changed = False
    for frame, _, logits_n1hw in fitting.propagate_in_video(state, 0, 4):
        logits_nhw = logits_n1hw[:, 0].numpy()
        for own, mask in enumerate(fitted[frame]):
            others_hw = (np.delete(logits_nhw, own, axis=0) > 0).any(axis=0)
            seen = None if frame == 0 else colours[own]  # a prompted frame shows its own
            expected_hw = fit_to_edges(clip[frame], logits_nhw[own], others_hw, seen)
            if (frame, mask.object_id) == (0, 1):
                expected_hw = given_hw
            np.testing.assert_array_equal(mask.mask_hw, expected_hw)
            changed |= bool((mask.mask_hw != (logits_nhw[own] > 0)).any())
    assert changed


def test_a_given_mask_stands_on_its_frame_until_another_prompt_takes_its_place(
    small_streaming: Any, clip: Any
) -> None:
    """On the way forward and backward, and where the model's own copy of it is far coarser."""
    rng = np.random.default_rng(0)
    given_hw = np.zeros((clip.height, clip.width), bool)
    given_hw[30:70, 90:140] = rng.random((40, 50)) > 0.3
    for switches, stands in (({}, True), ({"edges": "picture"}, True), ({"exact": True}, False)):
        predictor = small_streaming(**switches)
        state = predictor.init_state(clip)
        predictor.add_new_mask(state, 2, 1, given_hw)
        for reverse in (False, True):
            shown = dict(predictor.track(state, 2, 2, reverse))
            assert (shown[2][0].mask_hw == given_hw).all() == stands
            assert all(
                (objects[0].mask_hw != given_hw).any() for t, objects in shown.items() if t != 2
            )
        predictor.add_new_points_or_box(state, 2, 1, box=BOX)
        _, (replaced,) = next(predictor.track(state, 2, 0))
        assert (replaced.mask_hw != given_hw).any()


def test_a_box_is_remembered_as_if_its_fitted_mask_had_been_given(
    small_streaming: Any, predictor: Any, clip: Any
) -> None:
    def remembered(predictor: Any, **prompt: Any) -> tuple[np.ndarray, torch.Tensor, torch.Tensor]:
        state = predictor.init_state(clip)
        if "mask" in prompt:
            predictor.add_new_mask(state, 0, 1, **prompt)
        else:
            predictor.add_new_points_or_box(state, 0, 1, **prompt)
        predictor.propagate_in_video_preflight(state)  # as those do who want the memory alone
        ((_, (shown,)),) = predictor.track(state, max_frame_num_to_track=0)
        kept = state["output_dict_per_obj"][0]["cond_frame_outputs"][0]
        return shown.mask_hw, kept["obj_ptr"], kept["maskmem_features"]

    fitting = small_streaming(edges="picture")
    shown_hw, pointer, memory = remembered(fitting, box=BOX)
    _, *of_mask = remembered(fitting, mask=shown_hw)
    assert torch.equal(pointer, of_mask[0]) and torch.equal(memory, of_mask[1])
    _, *plain = remembered(predictor, mask=shown_hw)
    assert torch.equal(pointer, plain[0])  # the same model,
    assert not torch.equal(memory, plain[1])  # but SAM2 remembers its coarser copy of a mask
    assert not torch.equal(pointer, remembered(predictor, box=BOX)[1])


def test_the_predicted_iou_is_that_of_the_mask_chosen(predictor: Any, clip: Any) -> None:
    """Of three candidates for a single click, SAM2 takes the one with the largest."""
    seen: list[torch.Tensor] = []
    hook = predictor.sam_mask_decoder.register_forward_hook(lambda *call: seen.append(call[-1][1]))
    try:
        state = predictor.init_state(clip)
        predictor.add_new_points_or_box(state, 0, 1, points=[[70, 60]], labels=[1])
    finally:
        hook.remove()
    _, (first,) = next(predictor.track(state))
    assert seen[0].shape == (1, 3)
    assert first.predicted_iou == float(seen[0].max())


def test_the_picture_has_a_say_in_which_candidate_is_taken(small_streaming: Any, clip: Any) -> None:
    """Of two objects at once, and in what is remembered: what follows is decoded from it."""
    asking, plain = small_streaming(candidates="picture"), small_streaming()
    for predictor in (asking, plain):  # to which the second candidate always seems a little better
        head = predictor.sam_mask_decoder.iou_prediction_head.layers[-1]
        torch.nn.init.zeros_(head.weight)
        head.bias.data = torch.tensor([0.0, 0.0, 1e-5, 0.0])
    offered: list[tuple[torch.Tensor, ...]] = []
    asking.sam_mask_decoder.register_forward_hook(lambda *call: offered.append(call[-1]))
    state, without = asking.init_state(clip), plain.init_state(clip)
    for predictor, each in ((asking, state), (plain, without)):
        predictor.add_new_points_or_box(each, 0, 1, box=BOX)
        predictor.add_new_points_or_box(each, 0, 2, box=[20, 20, 70, 60])
    taken, largest = [], []
    for frame, objects in asking.track(state, max_frame_num_to_track=12):
        if frame == 0:
            continue
        masks_nmhw, ious_nm, *_ = offered[-1]
        bins_hw = colour_bins(in_square(clip[frame]))
        for i, (mask, outputs) in enumerate(
            zip(objects, state["output_dict_per_obj"].values(), strict=True)
        ):
            colours = remembered_colours(outputs["cond_frame_outputs"].values())
            assert colours is not None
            best = choose(masks_nmhw[i].numpy(), ious_nm[i].numpy(), colours, bins_hw)
            assert mask.predicted_iou == pytest.approx(float(ious_nm[i, best]))
            shown = outputs["non_cond_frame_outputs"][frame]["pred_masks"][0, 0]
            filled = fill_holes(masks_nmhw[i, best][None, None], asking.fill_hole_area)
            assert torch.equal(shown, filled[0, 0])
            taken.append(best)
            largest.append(int(ious_nm[i].argmax()))
    assert set(largest) == {1} and taken != largest
    shown = last(plain.track(without, max_frame_num_to_track=12))[1]
    assert any((a.mask_hw != b.mask_hw).any() for a, b in zip(objects, shown, strict=True))


def test_nothing_is_printed(predictor: Any, clip: Any, capfd: pytest.CaptureFixture[str]) -> None:
    state = predictor.init_state(clip)
    predictor.add_new_points_or_box(state, 0, 1, box=BOX)
    last(predictor.track(state, max_frame_num_to_track=3))
    last(predictor.propagate_in_video(state, max_frame_num_to_track=3))
    assert capfd.readouterr() == ("", "")


EMPTY, FULL = np.zeros((144, 176), bool), np.ones((144, 176), bool)
SPECK = EMPTY.copy()
SPECK[5, 5] = True

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "frame past the end": ({"frame_idx": 64, "box": BOX}, "the video has 64 frames, 0 to 63"),
    "negative frame": ({"frame_idx": -1, "box": BOX}, "frames count from 0"),
    "frame not whole": ({"frame_idx": 1.5, "box": BOX}, "whole number"),
    "nothing": ({}, "at least one point or a box"),
    "no points": ({"points": [], "labels": []}, "at least one point or a box"),
    "points without labels": ({"points": [[1, 2]]}, "together"),
    "too few labels": ({"points": [[1, 2], [3, 4]], "labels": [1]}, "2 points but 1 point labels"),
    "unknown label": ({"points": [[1, 2]], "labels": [2]}, "1 (positive) or 0 (negative)"),
    "NaN": ({"points": [[float("nan"), 2]], "labels": [1]}, "finite"),
    "infinite": ({"points": torch.tensor([[1, torch.inf]]), "labels": [1]}, "finite"),
    "left of the frame": ({"points": [[-1, 2]], "labels": [1]}, "point -1,2 lies outside"),
    "right of the frame": ({"points": [[176, 2]], "labels": [1]}, "to 176,144"),
    "not a fraction": (
        {"points": [[2, 0.5]], "labels": [1], "normalize_coords": False},
        "to 1,1",
    ),
    "triples": ({"points": [[1, 2, 3]], "labels": [1]}, "pairs"),
    "words": ({"points": "abc", "labels": [1]}, "expected numbers"),
    "box outside": ({"box": [10, 10, 177, 20]}, "box 10,10,177,20 lies outside"),
    "box inside out": ({"box": [50, 10, 40, 20]}, "X1 < X2"),
    "box with NaN": ({"box": [0, 0, float("nan"), 9]}, "X1 < X2"),
    "three corners": ({"box": [1, 2, 3]}, "X1,Y1,X2,Y2"),
    "box after points": ({"box": BOX, "clear_old_points": False}, "clear_old_points=True"),
    "empty mask": ({"mask": EMPTY}, "the mask is empty"),
    "mask of another size": ({"mask": FULL[:100]}, "176x100 pixels but the video is 176x144"),
    "mask with channels": ({"mask": np.ones((144, 176, 3))}, "pixels but the video is"),
    "mask with NaN": ({"mask": np.full((144, 176), np.nan)}, "finite"),
    "mask that vanishes": ({"mask": SPECK}, "too small"),
}


@pytest.mark.parametrize("why", REFUSED)
def test_a_refused_prompt_changes_nothing(predictor: Any, clip: Any, why: str) -> None:
    arguments, message = REFUSED[why]
    add = predictor.add_new_mask if "mask" in arguments else predictor.add_new_points_or_box
    state = predictor.init_state(clip)
    predictor.add_new_points_or_box(state, 0, 1, box=BOX)
    before = size_of(state)
    for obj_id in (1, 2):
        with pytest.raises(PromptError) as caught:
            add(state, **{"frame_idx": 0, "obj_id": obj_id, **arguments})
        assert f"object {obj_id}" in str(caught.value) and message in str(caught.value)
        assert state["obj_ids"] == [1]
        assert size_of(state) == before


def test_a_prompt_past_the_end_of_an_unknown_length(predictor: Any, clip: Any) -> None:
    state = predictor.init_state(replace(clip, length_known=False))
    with pytest.raises(PromptError, match="the video ends before"):
        predictor.add_new_points_or_box(state, 64, 1, box=BOX)
    assert state["obj_ids"] == []


def test_nothing_to_track(predictor: Any, clip: Any) -> None:
    state = predictor.init_state(clip)
    with pytest.raises(PromptError, match="nothing to track"):
        next(predictor.track(state))
    predictor.add_new_points_or_box(state, 0, 1, box=BOX)
    predictor.clear_all_prompts_in_frame(state, 0, 1)
    with pytest.raises(PromptError, match="object 1 has no prompt"):
        next(predictor.propagate_in_video(state))
    with pytest.raises(PromptError, match="no object 9"):
        predictor.clear_all_prompts_in_frame(state, 0, 9)
    assert state["obj_ids"] == [1]


@pytest.mark.parametrize(("start", "message"), [(-1, "count from 0"), (64, "0 to 63")])
def test_a_start_outside_the_video(predictor: Any, clip: Any, start: int, message: str) -> None:
    state = predictor.init_state(clip)
    predictor.add_new_points_or_box(state, 0, 1, box=BOX)
    with pytest.raises(PromptError, match=message):
        next(predictor.track(state, start_frame_idx=start))


def test_points_and_box_in_every_form_sam2_takes(predictor: Any, clip: Any) -> None:
    forms: list[dict[str, Any]] = [
        {"points": [[88, 36]], "labels": [1]},
        {"points": np.array([[88, 36]], np.float32), "labels": np.array([1], np.int32)},
        {"points": torch.tensor([[[88, 36]]]), "labels": torch.tensor([[1]])},
        {"points": [[0.5, 0.25]], "labels": [1], "normalize_coords": False},
    ]
    masks = []
    for form in forms:
        state = predictor.init_state(clip)
        masks.append(predictor.add_new_points_or_box(state, 0, 1, **form)[2])
    assert all(torch.equal(masks[0], mask) for mask in masks)
    boxes = []
    for no_points in ({}, {"points": [], "labels": []}, {"points": np.zeros((0, 2)), "labels": []}):
        state = predictor.init_state(clip)
        boxes.append(predictor.add_new_points_or_box(state, 0, 1, box=BOX, **no_points)[2])
    assert all(torch.equal(boxes[0], mask) for mask in boxes)


def test_a_correction_is_lasting(predictor: Any, clip: Any) -> None:
    state = predictor.init_state(clip)
    predictor.add_new_points_or_box(state, 0, 1, box=BOX)
    last(predictor.track(state, max_frame_num_to_track=20))
    predictor.add_new_points_or_box(state, 20, 1, points=[[30, 30]], labels=[0])
    last(predictor.track(state, start_frame_idx=20))
    outputs = state["output_dict_per_obj"][0]
    assert list(outputs["cond_frame_outputs"]) == [0, 20]
    assert outputs["cond_frame_outputs"][20]["maskmem_features"] is not None
    assert 20 not in outputs["non_cond_frame_outputs"]


def test_a_frame_far_behind_can_be_corrected(predictor: Any, clip: Any) -> None:
    """Its own memories are gone; the prompted frames remain, and the frame is known as tracked."""
    state = predictor.init_state(clip)
    predictor.add_new_points_or_box(state, 0, 1, box=BOX)
    predictor.add_new_points_or_box(state, 0, 2, points=[[30, 30]], labels=[1])
    last(predictor.track(state))
    for frame in (62, 55, 30):  # with its memory, with its pointer, with nothing left
        _, ids, logits = predictor.add_new_points_or_box(
            state, frame, 1, points=[[70, 60]], labels=[1]
        )
        assert ids == [1, 2] and logits.shape == (2, 1, 144, 176)
        assert (logits[0] > 0).any()
    frames = [frame for frame, _ in predictor.track(state, start_frame_idx=50)]
    assert frames == list(range(50, 64))


def test_holes_are_filled_by_sam2s_rule() -> None:
    """Background regions, joined over corners, of at most so many pixels get 0.1."""
    picture = """
        ##########
        #.###..###
        ##.##..###
        ########.#
        #...######
        #...#####.
        #...######
        ##########"""
    rows = picture.split()
    logits = torch.tensor([[3.0 if pixel == "#" else -2.0 for pixel in row] for row in rows])
    logits[1, 1] = 0.0  # a logit of 0 is background
    filled = fill_holes(logits[None, None], 8)[0, 0]
    for row, column in ((1, 1), (2, 2), (1, 5), (2, 6), (3, 8), (5, 9)):
        assert filled[row, column] == torch.tensor(0.1)
    assert (filled[4:7, 1:4] == -2).all()  # nine pixels stay a hole
    assert ((filled == logits) | (filled == torch.tensor(0.1))).all()
    assert fill_holes(logits[None, None], 9).min() > 0
    assert torch.equal(fill_holes(logits[None, None], 0)[0, 0], logits)


def test_holes_are_filled_while_tracking_without_a_warning(small_streaming: Any, clip: Any) -> None:
    holed = FULL.copy()
    holed[63:81, 77:99] = False  # four pixels at the 16x16 of the model's low-resolution masks
    found = {}
    for area in (0, 8):
        predictor = small_streaming(f"++model.fill_hole_area={area}")
        state = predictor.init_state(clip)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            predictor.add_new_mask(state, 0, 1, holed)
            _, _, found[area] = next(predictor.propagate_in_video(state))
    assert found[0][0, 0, 72, 88] < 0
    assert (found[8] > 0).all()


def test_a_folder_and_a_file_by_path(predictor: Any, clip: Any, tmp_path: Path) -> None:
    from_folder = predictor.init_state(str(clip.folder))
    from_source = predictor.init_state(clip)
    assert from_folder["num_frames"] == 64
    for index in (0, 33, 63):
        assert torch.equal(from_folder["images"][index], from_source["images"][index])
    with pytest.raises(VideoError):
        predictor.init_state(tmp_path / "missing.mp4")
    with pytest.raises(VideoError, match="FrameSource"):
        predictor.init_state(b"bytes")
    with pytest.raises(VideoError, match="no frames"):
        predictor.init_state(replace(clip, length=0, length_known=False))


def test_reset(predictor: Any, clip: Any) -> None:
    state = predictor.init_state(clip)
    before = size_of(state)
    predictor.add_new_points_or_box(state, 0, 1, box=BOX)
    last(predictor.track(state, max_frame_num_to_track=0))
    predictor.reset_state(state)
    state["constants"].clear()
    assert size_of(state) == before


def test_from_pretrained_downloads_nothing(
    predictor: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TRACK_MODELS", str(tmp_path))
    with pytest.raises(ModelError, match=r"track models pull sam2\.1_hiera_tiny"):
        type(predictor).from_pretrained("facebook/sam2.1-hiera-tiny")
    with pytest.raises(ModelError, match="unknown hub id 'nobody/nothing'; known: facebook"):
        type(predictor).from_pretrained("nobody/nothing")

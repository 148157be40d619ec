"""A state that went to a file and came back tracks on with the same bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tracker.models import snapshot
from tracker.models.bounded_state import KEPT
from tracker.models.colour_memory import remembered_colours
from tracker.models.memory_policies import DistractorMemory

BOX, OTHER = [60, 70, 120, 120], [20, 20, 70, 60]
LAST = 20


def tracked(predictor: Any, clip: Any, until: int) -> Any:
    """Two objects, one with a second prompt ahead, tracked up to a frame."""
    state = predictor.init_state(clip)
    predictor.add_new_points_or_box(state, 0, 7, box=BOX)
    predictor.add_new_points_or_box(state, 30, 7, points=[[80, 90]], labels=[1])
    predictor.add_new_points_or_box(state, 0, 2, box=OTHER)
    for _ in predictor.track(state, 0, until):
        pass
    return state


def through_a_file(tensors: Any, folder: Path) -> Any:
    path = folder / "state.safetensors"
    path.write_bytes(snapshot.to_bytes(tensors, {"objects": [7, 2]}))
    back, about = snapshot.from_file(str(path))
    assert about == {"objects": [7, 2]}
    return back


def restored(predictor: Any, clip: Any, state: Any, folder: Path) -> Any:
    parts = [snapshot.recent(predictor, state, LAST), *snapshot.prompted(state).values()]
    new = predictor.init_state(clip)
    for part in parts:
        snapshot.restore(predictor, new, through_a_file(part, folder), snapshot.object_ids(state))
    snapshot.mark_tracked(new, LAST, reverse=False)
    return new


def assert_same(ours: Any, theirs: Any) -> None:
    ours, theirs = list(ours), list(theirs)
    assert len(ours) == len(theirs) > 0
    for (position, mine), (same, other) in zip(ours, theirs, strict=True):
        assert position == same
        for a, b in zip(mine, other, strict=True):
            np.testing.assert_array_equal(a.mask_hw, b.mask_hw)
            assert (a.object_id, a.object_score, a.predicted_iou) == (
                *(b.object_id, b.object_score, b.predicted_iou),
            )


def test_tracking_on_has_the_same_bits(predictor: Any, clip: Any, tmp_path: Path) -> None:
    state = tracked(predictor, clip, LAST)
    new = restored(predictor, clip, state, tmp_path)
    assert new["obj_ids"] == state["obj_ids"] == [7, 2]
    assert_same(predictor.track(new, LAST + 1, 20), predictor.track(state, LAST + 1, 20))


def test_the_colours_of_prompts_come_along(small_streaming: Any, clip: Any, tmp_path: Path) -> None:
    predictor = small_streaming(candidates="picture", edges="picture")
    state = tracked(predictor, clip, LAST)
    new = restored(predictor, clip, state, tmp_path)
    assert_same(predictor.track(new, LAST + 1, 20), predictor.track(state, LAST + 1, 20))
    for outputs, again in zip(
        *(each["output_dict_per_obj"].values() for each in (state, new)), strict=True
    ):
        colours, same = (
            remembered_colours(each["cond_frame_outputs"].values()) for each in (outputs, again)
        )
        assert colours is not None and same is not None
        np.testing.assert_array_equal(colours.counts_2n, same.counts_2n)
        assert colours.distinctness == same.distinctness > 0


def test_a_given_mask_still_stands(predictor: Any, clip: Any, tmp_path: Path) -> None:
    given_hw = np.random.default_rng(0).random((clip.height, clip.width)) > 0.4
    state = predictor.init_state(clip)
    predictor.add_new_mask(state, 0, 7, given_hw)
    assert sum(1 for _ in predictor.track(state, 0, LAST)) == LAST + 1
    new = restored(predictor, clip, state, tmp_path)
    ((_, (shown,)),) = predictor.track(new, 0, 0)
    np.testing.assert_array_equal(shown.mask_hw, given_hw)


@pytest.mark.parametrize("policy", ["presence", "distractor"])
def test_what_a_memory_policy_reads_comes_along(
    small_streaming: Any, clip: Any, tmp_path: Path, policy: str, monkeypatch: Any
) -> None:
    predictor = small_streaming(memory_policy=policy)
    # Random weights tell nothing apart: every frame that is far enough becomes an anchor.
    monkeypatch.setattr(DistractorMemory, "_tells_apart", lambda *_: True)
    state = tracked(predictor, clip, LAST)
    new = restored(predictor, clip, state, tmp_path)
    outputs = new["output_dict_per_obj"][0]["non_cond_frame_outputs"]
    assert any(out.get(KEPT) for out in outputs.values()) == (policy == "distractor")
    assert_same(predictor.track(new, LAST + 1, 12), predictor.track(state, LAST + 1, 12))


def test_position_encodings_are_made_again(predictor: Any, clip: Any, tmp_path: Path) -> None:
    state = tracked(predictor, clip, LAST)
    new = restored(predictor, clip, state, tmp_path)
    (made,), (known,) = (each["constants"]["maskmem_pos_enc"] for each in (new, state))
    assert made.dtype == known.dtype
    np.testing.assert_array_equal(made.numpy(), known.numpy())


def test_no_more_is_kept_than_can_be_read(predictor: Any, clip: Any) -> None:
    """6 memories and 15 pointers of each object: what the next frame reads in SAM2.1."""
    state = tracked(predictor, clip, LAST)
    tensors = snapshot.recent(predictor, state, LAST)
    frames = {
        name: sorted(int(k.split("/")[2]) for k in tensors if k.startswith("2/") and name in k)
        for name in ("maskmem_features", "obj_ptr")
    }
    assert frames["maskmem_features"] == list(range(LAST - 5, LAST + 1))
    assert frames["obj_ptr"] == list(range(LAST - 14, LAST + 1))
    assert {key.split("/")[0] for key in tensors} == {"2", "7"}
    assert snapshot.of_objects(tensors, [7]).keys() == {k for k in tensors if k[0] == "7"}


def test_a_restarted_object_meets_its_next_prompt_like_a_first_one(
    predictor: Any, clip: Any
) -> None:
    state = tracked(predictor, clip, LAST)
    snapshot.restart(state, 2)
    predictor.add_new_points_or_box(state, LAST, 2, box=OTHER)
    fresh = predictor.init_state(clip)
    predictor.add_new_points_or_box(fresh, 0, 2, box=OTHER)
    predictor.add_new_points_or_box(fresh, LAST, 2, box=OTHER)
    ours = [(f, objects[:1]) for f, objects in predictor.track(state, LAST, 5)]
    assert_same(ours, predictor.track(fresh, LAST, 5))


def test_which_points_a_prompt_has_marked(predictor: Any, clip: Any) -> None:
    mask_hw = np.zeros((clip.height, clip.width), bool)
    mask_hw[30:90, 50:140] = True
    state = predictor.init_state(clip)
    predictor.add_new_mask(state, 0, 3, mask_hw)
    predictor.propagate_in_video_preflight(state)
    left = snapshot.prompted(state)[3, 0]
    points = np.array([[95, 60], [20, 60], [95, 120], [60, 40]], np.float32)
    inside = snapshot.marked(left, points, (clip.width, clip.height))
    assert inside.tolist() == [True, False, False, True]


@pytest.mark.parametrize("damage", ["empty", "half", "other"])
def test_a_file_that_is_not_whole_is_refused(
    predictor: Any, clip: Any, tmp_path: Path, damage: str
) -> None:
    whole = snapshot.to_bytes(snapshot.recent(predictor, tracked(predictor, clip, 1), 1), {})
    content = {"empty": b"", "half": whole[: len(whole) // 2], "other": b"{}" * 40}[damage]
    (tmp_path / "a.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.safetensors is not a snapshot"):
        snapshot.from_file(str(tmp_path / "a.safetensors"))
    with pytest.raises(ValueError, match="is not a snapshot"):
        snapshot.from_file(str(tmp_path / "nowhere.safetensors"))

"""A watch on made pictures with the embedded feature model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.drifting_runs import ASTRAY, DISC, EMPTY, FRAMES, SQUARE, disc, picture, square, tracked
from tracker.models.dinov2 import load_features
from tracker.session.drift import thresholds
from tracker.session.watch.appearance import Likeness
from tracker.session.watch.watching import DriftWatch, appearances
from tracker.types import Frame, ImageFeatures, ObjectMask, Prompt

PROMPTS = (Prompt(0, SQUARE, mask_hw=square(0)), Prompt(0, DISC, mask_hw=disc(0)))


@pytest.fixture(scope="module")
def extractor():
    return load_features("demo", "cpu")


@pytest.fixture
def watch(extractor):
    def make(*prompts: Prompt) -> DriftWatch:
        return DriftWatch(thresholds("demo", "demo"), extractor, prompts or PROMPTS, every=4)

    return make


def test_objects_that_look_the_same_do_not_spoil_each_others_scores():
    patches_hwc = np.zeros((4, 6, 2), np.float32)
    patches_hwc[..., 0] = 1
    patches_hwc[:, [1, 4]] = (0, 1)  # two columns of the same thing before a wall
    described = ImageFeatures(patches_hwc[0, 0], patches_hwc)
    columns = [np.arange(6) == 1, np.arange(6) == 4]
    masks = [np.kron(np.tile(c, (4, 1)), np.ones((10, 10), bool)) for c in columns]
    objects = [ObjectMask(i + 1, mask_hw, 5.0, 0.9) for i, mask_hw in enumerate(masks)]
    likeness = {1: Likeness(), 2: Likeness()}
    likeness[1].prompt(0, described, masks[0] | masks[1])
    assert appearances(described, objects, likeness) == {1: 1.0}
    alone = appearances(described, objects[:1], likeness)
    assert alone[1] == pytest.approx((4 + 1) / (8 + 1))
    assert appearances(None, objects, likeness) == {}


def frame(index: int, image_hwc: np.ndarray | None = None) -> Frame:
    return Frame(index, index, picture(index) if image_hwc is None else image_hwc)


def test_masks_are_marked_with_state_and_appearance(watch):
    looks_on = watch()
    states = {}
    for index in range(FRAMES):
        for judged in looks_on.judge(frame(index), tracked(index)):
            states[index, judged.mask.object_id] = judged.mask.state
            assert judged.mask.state == judged.verdict.state
    assert [states[i, SQUARE] for i in range(ASTRAY)] == ["visible"] * ASTRAY
    assert {states[i, SQUARE] for i in range(ASTRAY, EMPTY)} == {"doubtful"}
    assert states[FRAMES - 1, SQUARE] == "lost"
    assert {states[i, DISC] for i in range(FRAMES)} == {"visible"}


def test_asking_again_gives_the_same_and_features_are_computed_once(watch):
    looks_on = watch()
    once = looks_on.judge(frame(0), tracked(0))
    described = looks_on.described
    twice = looks_on.judge(frame(0), tracked(0))
    assert [j.verdict for j in once] == [j.verdict for j in twice]
    assert looks_on.features(frame(0)) is described


def test_an_object_that_is_prompted_anew_is_judged_anew(watch):
    looks_on = watch()
    for index in range(ASTRAY + 1):
        before = looks_on.judge(frame(index), tracked(index))
    found = Prompt(ASTRAY, SQUARE, mask_hw=square(ASTRAY), source="redetect")
    looks_on.add_prompt(found)
    right = replace(tracked(0)[0], mask_hw=square(ASTRAY))
    after = looks_on.judge(frame(ASTRAY), (right, tracked(ASTRAY)[1]))
    assert [j.verdict.state for j in before] == ["doubtful", "visible"]
    assert [j.verdict.state for j in after] == ["visible", "visible"]
    assert after[0].mask.appearance > 0.8
    assert after[1].verdict == before[1].verdict


def test_a_scene_cut_makes_every_object_doubtful(watch):
    looks_on = watch()
    for index in range(3):
        looks_on.judge(frame(index), tracked(index))
    other = np.random.default_rng(1).integers(0, 255, (120, 160, 3), dtype=np.uint8)
    for judged in looks_on.judge(frame(3, other), tracked(3)):
        assert judged.verdict.state == "doubtful"
        assert "cut" in judged.verdict.reasons


def test_going_back_begins_a_pass_that_knows_the_look(watch):
    looks_on = watch(Prompt(6, SQUARE, mask_hw=square(6)))
    for index in (6, 7, 5, 4, 3):
        shown = ObjectMask(SQUARE, square(index), 6.0, 0.85)
        (judged,) = looks_on.judge(frame(index), (shown,))
        assert judged.verdict.state == "visible"
        assert judged.mask.appearance > 0.8
    wrong = ObjectMask(SQUARE, np.roll(square(2), 50, axis=0), 4.0, 0.45)
    judgements = [looks_on.judge(frame(index), (wrong,))[0] for index in (2, 1)]
    assert judgements[-1].verdict.state == "doubtful"

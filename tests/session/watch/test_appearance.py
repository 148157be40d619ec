"""Whether masks cover what was prompted, and when frames are described; painted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tracker.session.watch.appearance import LEEWAY, PROMPTS_KEPT, Likeness, Sampler, Scenes
from tracker.types import ImageFeatures, ObjectMask

SIZE_HW = (40, 60)


def features(*directions: int, width: int = 4) -> ImageFeatures:
    """Patches 4 x 6, each column of patches of one direction; the global one is the first."""
    patches_hwc = np.zeros((4, len(directions), width), np.float32)
    for column, direction in enumerate(directions):
        patches_hwc[:, column, direction] = 1
    return ImageFeatures(patches_hwc[0, 0], patches_hwc)


def box_mask(x1: int, x2: int, y1: int = 0, y2: int = 40) -> np.ndarray:
    mask_hw = np.zeros(SIZE_HW, bool)
    mask_hw[y1:y2, x1:x2] = True
    return mask_hw


def grey(level: int) -> np.ndarray:
    return np.full((*SIZE_HW, 3), level, np.uint8)


THING, WALL, DOOR, TWIN = range(4)
SHOWN = features(WALL, THING, THING, WALL, WALL, WALL)
THERE = box_mask(10, 30)


def prompted() -> Likeness:
    likeness = Likeness()
    likeness.prompt(0, SHOWN, THERE)
    return likeness


def overlap(common: float, union: float) -> float:
    """Intersection over union of so many patches, as it is counted."""
    return pytest.approx((common + LEEWAY) / (union + LEEWAY), abs=1e-5)


def test_without_a_prompt_there_is_nothing_to_compare_with():
    assert Likeness().score(SHOWN, THERE) is None
    empty = Likeness()
    empty.prompt(0, SHOWN, box_mask(0, 0))
    assert empty.score(SHOWN, THERE) is None


def test_a_part_that_stands_apart_and_shows_the_surroundings_strays():
    moved = features(WALL, THING, WALL, THING, THING, WALL)
    likeness, own_hw = prompted(), box_mask(30, 50)
    assert not likeness.has_stray_part(moved, own_hw)
    assert likeness.has_stray_part(moved, own_hw | box_mask(0, 10))
    assert not likeness.has_stray_part(moved, own_hw | box_mask(10, 20))  # looks like the object
    assert not likeness.has_stray_part(moved, own_hw | box_mask(0, 9, 0, 9))  # less than a patch
    assert not likeness.has_stray_part(moved, box_mask(20, 60))  # hangs together
    assert not likeness.has_stray_part(moved, box_mask(0, 10) | box_mask(50, 60))  # all is wrong
    assert not Likeness().has_stray_part(moved, own_hw | box_mask(0, 10))


def test_a_mask_agrees_as_far_as_it_covers_what_looks_like_the_object():
    moved = features(WALL, WALL, WALL, THING, THING, WALL)
    likeness = prompted()
    assert likeness.score(moved, box_mask(30, 50)) == overlap(8, 8)
    assert likeness.score(moved, box_mask(30, 40)) == overlap(4, 8)  # half of it
    assert likeness.score(moved, box_mask(30, 60)) == overlap(8, 12)  # and some wall
    assert likeness.score(moved, box_mask(0, 20)) == overlap(0, 16)  # left behind


def test_an_empty_mask_agrees_when_nothing_looks_like_the_object():
    likeness = prompted()
    assert likeness.score(features(*[WALL] * 6), box_mask(0, 0)) == 1
    assert likeness.score(SHOWN, box_mask(0, 0)) == overlap(0, 8)


def test_what_other_objects_cover_may_look_the_same():
    both = features(WALL, THING, THING, WALL, THING, THING)
    likeness = prompted()
    assert likeness.score(both, THERE) == overlap(8, 16)
    assert likeness.score(both, THERE, box_mask(40, 60)) == overlap(8, 8)


def test_a_second_prompt_adds_a_side_of_the_object():
    turned = features(WALL, DOOR, DOOR, WALL, WALL, WALL)
    likeness = prompted()
    likeness.prompt(9, turned, THERE)
    assert likeness.score(turned, THERE) == overlap(8, 8)
    assert likeness.score(SHOWN, THERE) == overlap(8, 8)


def test_the_first_prompt_and_the_newest_are_kept():
    likeness = prompted()
    door = features(DOOR, DOOR, DOOR, DOOR, WALL, WALL)
    likeness.prompt(1, door, box_mask(40, 50))  # at which the wall is the object
    for frame in range(2, 2 + PROMPTS_KEPT):
        likeness.prompt(frame, features(DOOR, TWIN, TWIN, DOOR, DOOR, DOOR), THERE)
    assert likeness.score(features(*[WALL] * 6), box_mask(0, 0)) == 1
    assert likeness.score(SHOWN, THERE) == overlap(8, 8)


def test_a_frame_that_is_prompted_anew_shows_the_new_mask():
    picture = features(THING, THING, DOOR, DOOR, DOOR, DOOR)
    likeness = Likeness()
    for shown in (box_mask(0, 20), box_mask(20, 60)):
        likeness.prompt(0, picture, shown)
    assert likeness.score(picture, box_mask(20, 60)) == overlap(16, 16)
    assert likeness.score(picture, box_mask(0, 20)) == overlap(0, 24)


def test_an_object_that_fills_the_picture_is_everywhere():
    likeness = Likeness()
    likeness.prompt(0, SHOWN, box_mask(0, 60))
    assert likeness.score(SHOWN, box_mask(0, 30)) == overlap(12, 24)


def one(area_columns: int) -> tuple[ObjectMask, ...]:
    return (ObjectMask(1, box_mask(0, area_columns), 5.0, 0.9),)


def test_frames_are_described_every_few_and_at_events():
    sampler = Sampler(every=4)
    wanted = [sampler.wants(grey(100), one(30), ()) for _ in range(10)]
    assert [i for i, w in enumerate(wanted) if w] == [0, 4, 8]
    assert sampler.wants(grey(100), one(30), {1})  # a prompt
    assert sampler.wants(grey(100), one(8), ())  # an abrupt change of its area
    assert not sampler.wants(grey(100), one(8), ())
    assert sampler.wants(grey(100), one(0), ())  # it went
    assert not sampler.wants(grey(100), one(0), ())
    assert sampler.wants(grey(100), one(30), ())  # it came back
    assert not sampler.stirred
    assert sampler.wants(grey(200), one(30), ())
    assert sampler.stirred


def test_a_hasty_camera_stirs_few_frames_and_hides_no_cut():
    sampler, stirred = Sampler(every=100), []
    for value in [100, 120] * 10 + [200]:
        sampler.wants(grey(value), one(30), ())
        stirred.append(sampler.stirred)
    assert not any(stirred[3:-1])
    assert stirred[-1]


def test_a_cut_is_a_jump_of_the_picture_and_of_its_features():
    scenes = Scenes(cut_below=0.6)
    assert not scenes.is_cut(features(0), stirred=True)  # nothing came before
    assert not scenes.is_cut(features(1), stirred=False)  # slowly
    assert not scenes.is_cut(features(1), stirred=True)  # haste within a scene
    assert scenes.is_cut(features(2), stirred=True)

"""Looks, their likeness, and when frames are worth describing; on features painted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tracker.session.watch.appearance import Likeness, Sampler, Scenes, look
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


def test_a_look_is_what_lies_under_the_mask():
    described = features(0, 0, 0, 1, 1, 1)
    assert look(described, box_mask(0, 30)).tolist() == [1, 0, 0, 0]
    assert look(described, box_mask(30, 60)).tolist() == [0, 1, 0, 0]
    half = look(described, box_mask(20, 40))
    assert half == pytest.approx([np.sqrt(0.5), np.sqrt(0.5), 0, 0], abs=1e-6)
    assert look(described, np.zeros(SIZE_HW, bool)) is None


def unit(*values: float) -> np.ndarray:
    vector = np.array(values, np.float32)
    return vector / np.linalg.norm(vector)


def test_likeness_is_the_mean_of_prompted_and_average():
    likeness = Likeness()
    assert likeness.score(unit(1, 0)) is None
    likeness.prompt(unit(1, 0))
    assert likeness.score(unit(1, 0)) == pytest.approx(1)
    assert likeness.score(unit(0, 1)) == pytest.approx(0)


def test_the_average_follows_trusted_looks_and_the_prompt_stays():
    likeness = Likeness()
    likeness.prompt(unit(1, 0))
    turned = unit(0.5, 0.87)
    before = likeness.score(turned)
    for _ in range(50):
        likeness.trust(turned)
    after = likeness.score(turned)
    assert before == pytest.approx(0.5, abs=0.01)
    assert after == pytest.approx((0.5 + 1) / 2, abs=0.01)


def test_a_second_prompt_adds_a_side_of_the_object():
    likeness = Likeness()
    likeness.prompt(unit(1, 0))
    likeness.prompt(unit(0, 1))
    assert likeness.score(unit(0, 1)) == pytest.approx(1)
    assert likeness.score(unit(1, 0)) == pytest.approx(0.5)


def one(area_columns: int) -> tuple[ObjectMask, ...]:
    return (ObjectMask(1, box_mask(0, area_columns), 5.0, 0.9),)


def test_frames_are_described_every_few_and_at_events():
    sampler = Sampler(every=4)
    wanted = [sampler.wants(grey(100), one(30), ()) for _ in range(10)]
    assert [i for i, w in enumerate(wanted) if w] == [0, 4, 8]
    assert sampler.wants(grey(100), one(30), {1})  # a prompt
    assert sampler.wants(grey(100), one(8), ())  # an abrupt change of its area
    assert not sampler.wants(grey(100), one(8), ())
    assert not sampler.wants(grey(100), one(0), ())  # there is nothing to describe
    assert sampler.wants(grey(100), one(30), ())  # it came back
    assert not sampler.stirred
    assert sampler.wants(grey(200), one(30), ())
    assert sampler.stirred


def test_a_cut_is_a_jump_of_the_picture_and_of_its_features():
    scenes = Scenes(cut_below=0.6)
    assert not scenes.is_cut(features(0), stirred=True)  # nothing came before
    assert not scenes.is_cut(features(1), stirred=False)  # slowly
    assert not scenes.is_cut(features(1), stirred=True)  # haste within a scene
    assert scenes.is_cut(features(2), stirred=True)

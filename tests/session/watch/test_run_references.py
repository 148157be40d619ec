"""A run's own frames as references."""

from __future__ import annotations

import numpy as np

from tracker.memory.retrieval import search
from tracker.session.watch.run_references import RunReferences
from tracker.types import ImageFeatures


def features(direction: int) -> ImageFeatures:
    patches_hwc = np.zeros((3, 3, 5), np.float32)
    patches_hwc[..., direction] = 1
    return ImageFeatures(patches_hwc[0, 0], patches_hwc)


def full() -> np.ndarray:
    return np.ones((30, 30), bool)


FRAME = np.zeros((30, 30, 3), np.uint8)


def test_the_label_of_an_object_is_its_number():
    references = RunReferences()
    references.add_frame(1, 0, FRAME, features(0), full())
    references.add_frame(12, 0, FRAME, features(1), full())
    references.add_frame(1, 40, FRAME, features(2), full())
    assert references.labels() == ("1", "12")
    assert references.global_features(["1"]).ids == ("run:0:1", "run:40:1")
    assert references.global_features().features_nc.shape == (3, 5)
    assert references.global_features(["7"]).ids == ()
    assert references.from_run(1) == ("run:0:1", "run:40:1")
    references.drop("run:0:1")
    assert references.from_run(1) == ("run:40:1",)


def test_they_can_be_searched_like_a_memory():
    references = RunReferences()
    references.add_frame(1, 0, FRAME, features(0), full())
    references.add_frame(1, 9, FRAME, features(3), full())
    best, other = search(references, features(3), labels=["1"])
    assert (best.reference_id, best.label) == ("run:9:1", "1")
    assert best.similarity > other.similarity


def test_of_a_frame_the_part_around_the_object_is_kept():
    references = RunReferences()
    mask_hw = np.zeros((300, 400), bool)
    mask_hw[100:180, 200:280] = True
    image_hwc = np.random.default_rng(0).integers(0, 255, (300, 400, 3), np.uint8)
    references.add_frame(1, 7, image_hwc, features(0), mask_hw)
    shown_hwc, shown_hw = references.picture_and_mask("run:7:1")
    assert shown_hwc.shape == (120, 160, 3)  # 1.5 times the height, in the frame's proportions
    assert shown_hw.sum() == mask_hw.sum()
    np.testing.assert_array_equal(shown_hwc[shown_hw], image_hwc[mask_hw])

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


def test_the_label_of_an_object_is_its_number():
    references = RunReferences()
    references.add_frame(1, 0, features(0), full())
    references.add_frame(12, 0, features(1), full())
    references.add_frame(1, 40, features(2), full())
    assert references.labels() == ("1", "12")
    assert references.global_features(["1"]).ids == ("run:0:1", "run:40:1")
    assert references.global_features().features_nc.shape == (3, 5)
    assert references.global_features(["7"]).ids == ()
    assert references.from_run(1) == ("run:0:1", "run:40:1")
    references.drop("run:0:1")
    assert references.from_run(1) == ("run:40:1",)


def test_they_can_be_searched_like_a_memory():
    references = RunReferences()
    references.add_frame(1, 0, features(0), full())
    references.add_frame(1, 9, features(3), full())
    best, other = search(references, features(3), labels=["1"])
    assert (best.reference_id, best.label) == ("run:9:1", "1")
    assert best.similarity > other.similarity

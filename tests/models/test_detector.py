"""Text to boxes, with a tiny Grounding DINO of random weights and a vocabulary of eight words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertConfig

from tests.made_detector import make_detector
from tracker.errors import ModelError, PromptError
from tracker.masks import box_iou
from tracker.models.detector import TextDetector, load_detector, phrases

SIZE_HW = (60, 80)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_detector(tmp_path_factory.mktemp("detector"))


@pytest.fixture(scope="module")
def detector(folder: Path) -> TextDetector:
    return load_detector(str(folder), "cpu")


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (*SIZE_HW, 3), np.uint8)


def test_boxes_lie_on_the_image_the_best_first(detector, image):
    found = detector.detect(image, "a dog . the red ball .", least=0.0)
    assert found
    scores = [each.score for each in found]
    assert scores == sorted(scores, reverse=True) and 0 <= scores[-1] <= scores[0] <= 1
    assert {each.label for each in found} <= {"dog", "red ball"}
    for each in found:
        x1, y1, x2, y2 = each.xyxy
        assert 0 <= x1 < x2 <= SIZE_HW[1] and 0 <= y1 < y2 <= SIZE_HW[0]


def test_the_score_is_that_of_the_best_fitting_word_of_its_phrase(detector, image):
    """Against the model itself: words 1 and 2 are `a dog`, 4 and 5 `red ball`."""
    inputs = detector._processor(images=image, text="a dog. red ball.", return_tensors="pt")
    with torch.inference_mode():
        fits = detector._model(**inputs).logits[0].sigmoid()
    expected = torch.stack([fits[:, 1:3].amax(1), fits[:, 4:6].amax(1)]).amax(0)
    found = detector.detect(image, "a dog . red ball .", least=0.0)
    assert found[0].score == pytest.approx(float(expected.max()), abs=1e-5)


def test_a_threshold_drops_and_boxes_of_one_phrase_differ(detector, image):
    everything = detector.detect(image, "dog . cat .", least=0.0)
    middle = everything[len(everything) // 2].score
    fewer = detector.detect(image, "dog . cat .", least=middle)
    assert fewer == [each for each in everything if each.score >= middle]
    for label in ("dog", "cat"):
        boxes = [each.xyxy for each in everything if each.label == label]
        pairs = [(a, b) for n, a in enumerate(boxes) for b in boxes[n + 1 :]]
        assert all(box_iou(a, b) <= 0.7 + 1e-5 for a, b in pairs)


def test_the_same_picture_gives_the_same_boxes(folder, image):
    one, other = (TextDetector(folder).detect(image, "dog .", 0.0) for _ in range(2))
    assert one == other


def test_unknown_words_belong_to_their_phrase(detector, image):
    assert {each.label for each in detector.detect(image, "zebra . dog .", 0.0)} <= {"zebra", "dog"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a dog . a ball .", ("a dog", "a ball")),
        ("A  Dog", ("a dog",)),
        ("dog.dog..cat", ("dog", "cat")),
    ],
)
def test_phrases(text, expected):
    assert phrases(text) == expected


def test_texts_that_cannot_be_read(detector, image):
    with pytest.raises(PromptError, match="name what to look for"):
        detector.detect(image, " . .")
    with pytest.raises(PromptError, match="is too long"):
        detector.detect(image, " . ".join(f"big dog {'red ' * n}" for n in range(8)))


def test_folders_that_hold_no_detector(folder, tmp_path):
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_detector(str(tmp_path))
    BertConfig().save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="is of the kind bert, not grounding-dino"):
        load_detector(str(tmp_path))


def test_a_detector_is_pulled_on_demand(tmp_path, monkeypatch):
    monkeypatch.setenv("TRACK_MODELS", str(tmp_path))
    for name in ("auto", "grounding_dino_tiny"):
        with pytest.raises(ModelError, match="`track models pull grounding_dino_tiny` fetches it"):
            load_detector(name)
    with pytest.raises(ModelError, match="unknown detector model 'demo'"):
        load_detector("demo")

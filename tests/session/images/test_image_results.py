"""What is kept of images, and what is made of it: numbers, tables, doubts."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from tracker.errors import RunError
from tracker.memory.prompting import Decision
from tracker.session.images.doubts import (
    doubts_of_decisions,
    doubts_of_masks,
    scores_needed,
    write_review,
)
from tracker.session.images.found import Doubt, FoundObject, ImageResult
from tracker.session.images.image_files import ImageFile
from tracker.session.images.measuring import LabelMeasure, Measures, Scale
from tracker.session.images.numbering import Numbering
from tracker.session.images.store import ImageStore
from tracker.session.images.table import ObjectTable
from tracker.types import Match


def found(label: str | None = "cup", left: int = 0, width: int = 2, **options) -> FoundObject:
    """An object of `width` x 4 pixels in an image of 10 x 8."""
    mask_hw = np.zeros((8, 10), bool)
    mask_hw[2:6, left : left + width] = True
    values = {"score": 0.9, "predicted_iou": 0.8, "source": "memory", **options}
    return FoundObject(label, mask_hw, **values)


def result(stem: str, *objects: FoundObject, doubts: tuple[Doubt, ...] = ()) -> ImageResult:
    return ImageResult(stem, "ab" * 32, 8, 10, objects, doubts)


@pytest.mark.parametrize(
    ("score", "confidence"), [(0.9, 0.72), (1.0, 0.8), (0.0, 0.0)], ids=["memory", "user", "none"]
)
def test_the_confidence_of_a_mask_is_score_times_predicted_iou(score, confidence):
    assert found(score=score).as_mask(3).confidence == pytest.approx(confidence, abs=1e-6)
    assert found().as_mask(3).object_id == 3


def test_a_result_is_read_back_as_it_was_written():
    before = result(
        "a",
        found("cup", reference_id="cd" * 32),
        found(None, 5, object_id=7, source="user"),
        doubts=(Doubt("barely accepted", "cup", 0.61, 0.6),),
    )
    after = ImageResult.from_json(json.loads(json.dumps(before.to_json())))
    assert (after.stem, after.sha256, after.height, after.width) == ("a", "ab" * 32, 8, 10)
    assert after.doubts == before.doubts
    for one, other in zip(before.objects, after.objects, strict=True):
        assert (one.mask_hw == other.mask_hw).all()
        assert one.to_json() == other.to_json()
    with pytest.raises(RunError, match="malformed result"):
        ImageResult.from_json({"image": "a"})


def test_a_label_gets_as_many_numbers_as_one_image_has_of_it():
    images = [
        result("a", found("cup"), found("cat")),
        result("b", found("cup"), found("cup"), found(None)),
        result("c"),
    ]
    numbering = Numbering.of(images)
    assert numbering.labels == {1: "", 2: "cat", 3: "cup", 4: "cup"}
    assert [numbering.ids(each) for each in images] == [(3, 2), (3, 4, 1), ()]


def test_a_number_that_the_user_gave_stays():
    images = [result("a", found("cup", object_id=5)), result("b", found(None, object_id=2))]
    numbering = Numbering.of(images)
    assert numbering.labels == {2: "", 5: "cup"}
    assert [numbering.ids(each) for each in images] == [(5,), (2,)]


def rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_says_where_and_how_large(tmp_path):
    images = [result("a", found("cup", 3)), result("b")]
    ObjectTable.of(images, Numbering.of(images)).write(tmp_path)
    (row,) = rows(tmp_path / "objects.csv")
    assert (row["image"], row["object"], row["label"], row["score"]) == ("a", "1", "cup", "0.9")
    assert (row["area_px"], row["area_share"]) == ("8", "0.1")
    assert [row[c] for c in ("x1", "y1", "x2", "y2")] == ["3", "2", "5", "6"]
    assert [row[c] for c in ("centre_x", "centre_y")] == ["4.0", "4.0"]
    assert "area_cm2" not in row
    assert not (tmp_path / "totals.csv").exists()


def test_the_table_with_measures(tmp_path):
    measures = Measures(Scale(px_per_cm=2.0), {"rice": LabelMeasure({"kcal": 3.0, "g": 2.0})})
    images = [
        result("a", found("rice"), found("rice", 5, 1), found("bowl", 8)),
        result("b", found("rice")),
        result("c"),
    ]
    table = ObjectTable.of(images, Numbering.of(images), measures)
    table.write(tmp_path)
    found_rows = rows(tmp_path / "objects.csv")
    # 8 pixels at 4 pixels per cm²: 2 cm²; half of it; 2 cm² without quantities; 2 cm².
    assert [row["area_cm2"] for row in found_rows] == ["2.0", "1.0", "2.0", "2.0"]
    assert [row["kcal"] for row in found_rows] == ["6.0", "3.0", "", "6.0"]
    sums = {
        row["image"]: (row["objects"], row["kcal"], row["g"])
        for row in rows(tmp_path / "totals.csv")
    }
    assert sums == {
        "a": ("3", "9.0", "6.0"),
        "b": ("1", "6.0", "4.0"),
        "c": ("0", "", ""),
        "all": ("4", "15.0", "10.0"),
    }
    written = json.loads((tmp_path / "measures.json").read_text())
    assert written["total"] == {"area_cm2": 7.0, "kcal": 15.0, "g": 10.0}
    assert written["images"]["a"]["total"]["kcal"] == 9.0
    assert written["images"]["a"]["objects"][1]["kcal"] == 3.0


def test_doubts_of_masks():
    assert doubts_of_masks([]) == [Doubt("nothing was found")]
    assert doubts_of_masks([found(), found("cat", 5)]) == []
    (unsure,) = doubts_of_masks([found(predicted_iou=0.4)])
    assert (unsure.reason, unsure.score) == ("the mask is uncertain", 0.4)
    # Of the 4 pixels of the cat's single column, all lie on the cup.
    (overlap,) = doubts_of_masks([found("cup", 0, 2), found("cat", 1, 1)])
    assert (overlap.reason, overlap.score) == ("two masks overlap: cup and cat", 1.0)


def decision(label: str, score: float, threshold: float = 0.4) -> Decision:
    match = Match("ab" * 32, label, 0.9, 0.8, 0.7, 0.77)
    nothing_hw, accepted = np.zeros((8, 10), bool), score >= threshold
    return Decision(0, label, match, score, threshold, accepted, "", None, nothing_hw, (), {})


def test_doubts_of_decisions():
    sure = [decision("cup", 0.8), decision("cup", 0.7), decision("cat", 0.2), decision("dog", 0.6)]
    assert doubts_of_decisions(sure, 0.8) == []
    close = [decision("cup", 0.38), decision("cat", 0.43)]
    assert doubts_of_decisions(close, 0.8) == [
        Doubt("barely accepted", "cat", 0.43, 0.4),
        Doubt("barely refused", "cup", 0.38, 0.4),
    ]


def test_what_is_weak_beside_its_like_is_refused():
    decisions = [decision("cup", s) for s in (0.5, 0.57, 0.62, 0.75)] + [decision("cat", 0.5)]
    assert scores_needed(decisions, 0.8) == pytest.approx({"cup": 0.6, "cat": 0.4})
    assert scores_needed(decisions, 0.0) == {"cup": 0.4, "cat": 0.4}
    found = [(doubt.reason, doubt.score) for doubt in doubts_of_decisions(decisions, 0.8)]
    assert found == [("barely accepted", 0.62), ("barely refused", 0.57)]


def test_the_review_lists_doubtful_images_alone(tmp_path):
    doubts = (
        Doubt("barely accepted", "cup", 0.61, 0.598),
        Doubt("the mask is uncertain", "cup", 0.5, 0.6),
    )
    images = [
        result("a", found()),
        result("b", found(), doubts=doubts),
        result("c", doubts=(Doubt("nothing was found"),)),
    ]
    assert write_review(images, tmp_path) == 2
    listed = rows(tmp_path / "review.csv")
    assert [(row["image"], row["reason"]) for row in listed] == [
        ("b", "barely accepted"),
        ("b", "the mask is uncertain"),
        ("c", "nothing was found"),
    ]
    assert (listed[0]["score"], listed[2]["score"]) == ("0.61", "")
    assert json.loads((tmp_path / "review.json").read_text())[0]["threshold"] == 0.598


@pytest.fixture
def image(tmp_path) -> ImageFile:
    (tmp_path / "a.png").write_bytes(b"one")
    return ImageFile(tmp_path / "a.png", 0)


def test_a_result_counts_until_the_image_changes(tmp_path, image):
    with ImageStore(tmp_path / "out", {"settings": {"x": 1}}) as store:
        assert store.find(image) is None
        store.save(image, ImageResult("a", image.sha256, 8, 10, (found(),)))
    with ImageStore(tmp_path / "out", {"settings": {"x": 1}}) as store:
        assert store.find(image) is not None
        image.path.write_bytes(b"two")
        assert store.find(ImageFile(image.path, 0)) is None


def test_a_damaged_result_is_done_again(tmp_path, image):
    with ImageStore(tmp_path / "out", {}) as store:
        (tmp_path / "out" / "results" / "a.json").write_text('{"image": "a"')
        assert store.find(image) is None


def test_results_of_other_settings_are_kept_unless_told_otherwise(tmp_path, image):
    folder = tmp_path / "out"
    with ImageStore(folder, {"settings": {"model": "demo"}}) as store:
        store.save(image, ImageResult("a", image.sha256, 8, 10, ()))
    (folder / "masks").mkdir()
    with pytest.raises(RunError, match="settings model was demo, now tiny; --overwrite"):
        ImageStore(folder, {"settings": {"model": "tiny"}})
    with ImageStore(folder, {"settings": {"model": "tiny"}}, overwrite=True) as store:
        assert store.find(image) is None
    assert not (folder / "masks").exists()


def test_a_folder_with_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(RunError, match="holds something else"):
            ImageStore(tmp_path, {}, overwrite)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_two_at_once_are_refused(tmp_path):
    with ImageStore(tmp_path / "out", {}), pytest.raises(RunError, match="in use by process"):
        ImageStore(tmp_path / "out", {})

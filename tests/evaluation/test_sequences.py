"""Which mask belongs to which."""

from __future__ import annotations

import numpy as np
import pytest

from tracker.errors import InputError
from tracker.evaluation.sequences import MaskFolder, find_comparisons, pairs
from tracker.video import write_index_mask


@pytest.fixture
def folder(tmp_path):
    def make(name: str, masks: dict[str, int]):
        (tmp_path / name).mkdir(parents=True)
        for stem, value in masks.items():
            write_index_mask(tmp_path / name / f"{stem}.png", np.full((4, 6), value, np.uint8))
        return MaskFolder(tmp_path / name)

    return make


def test_frames_are_paired_by_name_and_the_truth_decides(folder):
    prediction = folder("p", {"00000": 1, "00001": 2, "00002": 3})
    truth = folder("t", {"00002": 5, "00000": 4})
    found = [(name, int(p[0, 0]), int(t[0, 0])) for name, p, t in pairs(prediction, truth)]
    assert found == [("00000", 1, 4), ("00002", 3, 5)]


def test_frames_come_as_people_count_them(folder):
    assert folder("t", {"10": 1, "9": 1, "100": 1}).names() == ("9", "10", "100")


def test_a_missing_prediction_is_named(folder):
    prediction, truth = folder("p", {"a": 1}), folder("t", {"a": 1, "b": 1, "c": 1})
    with pytest.raises(InputError, match="no mask for frame b and 1 more"):
        list(pairs(prediction, truth))


def test_a_folder_without_masks_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no PNG"):
        MaskFolder(tmp_path)
    with pytest.raises(InputError, match="is not a folder"):
        MaskFolder(tmp_path / "nowhere")


def test_literal_ids_stay_as_they_are_stored(folder, tmp_path):
    folder("t", {"a": 255})
    assert MaskFolder(tmp_path / "t").read("a").max() == 1
    assert MaskFolder(tmp_path / "t", literal=True).read("a").max() == 255


def test_a_folder_with_masks_is_one_sequence(folder, tmp_path):
    folder("p", {"a": 1})
    folder("t", {"a": 2})
    (only,) = find_comparisons(tmp_path / "p", tmp_path / "t")
    assert only.name == "t"
    assert (only.prediction.read("a")[0, 0], only.truth.read("a")[0, 0]) == (1, 2)


def test_subfolders_are_sequences_and_the_truth_decides(folder, tmp_path):
    for name in ("p/dog", "p/cat", "p/cow", "t/dog", "t/cat"):
        folder(name, {"a": 1})
    (tmp_path / "t" / "notes").mkdir()
    assert [c.name for c in find_comparisons(tmp_path / "p", tmp_path / "t")] == ["cat", "dog"]
    (chosen,) = find_comparisons(tmp_path / "p", tmp_path / "t", only=["dog"])
    assert chosen.name == "dog"


def test_a_run_may_stand_where_a_folder_of_masks_does(folder, tmp_path):
    masks = folder("elsewhere", {"a": 7})
    (tmp_path / "p" / "dog").mkdir(parents=True)
    folder("t/dog", {"a": 1})

    def open_run(path):
        return masks if path == tmp_path / "p" / "dog" else None

    (found,) = find_comparisons(tmp_path / "p", tmp_path / "t", open_run)
    assert found.prediction is masks


def test_what_has_no_partner_is_named(folder, tmp_path):
    for name in ("p/dog", "t/dog", "t/cat"):
        folder(name, {"a": 1})
    p, t = tmp_path / "p", tmp_path / "t"
    with pytest.raises(InputError, match="lacks sequences of the truth: cat"):
        find_comparisons(p, t)
    with pytest.raises(InputError, match="holds no sequence 'cow', only cat, dog"):
        find_comparisons(p, t, only=["cow"])
    with pytest.raises(InputError, match="is one sequence"):
        find_comparisons(p / "dog", t / "dog", only=["dog"])
    with pytest.raises(InputError, match="nowhere is not a folder"):
        find_comparisons(p, tmp_path / "nowhere")

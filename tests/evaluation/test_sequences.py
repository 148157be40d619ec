"""Which mask belongs to which."""

from __future__ import annotations

import numpy as np
import pytest

from tracker.errors import InputError
from tracker.evaluation.sequences import MaskFolder, pairs
from tracker.video import write_index_mask


@pytest.fixture
def folder(tmp_path):
    def make(name: str, masks: dict[str, int]):
        (tmp_path / name).mkdir()
        for stem, value in masks.items():
            write_index_mask(tmp_path / name / f"{stem}.png", np.full((4, 6), value, np.uint8))
        return MaskFolder(tmp_path / name)

    return make


def test_frames_are_paired_by_name_and_the_truth_decides(folder):
    prediction = folder("p", {"00000": 1, "00001": 2, "00002": 3})
    truth = folder("t", {"00002": 5, "00000": 4})
    found = [(name, int(p[0, 0]), int(t[0, 0])) for name, p, t in pairs(prediction, truth)]
    assert found == [("00000", 1, 4), ("00002", 3, 5)]


def test_a_missing_prediction_is_named(folder):
    prediction, truth = folder("p", {"a": 1}), folder("t", {"a": 1, "b": 1, "c": 1})
    with pytest.raises(InputError, match="no mask for frame b and 1 more"):
        list(pairs(prediction, truth))


def test_a_folder_without_masks_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no PNG"):
        MaskFolder(tmp_path)
    with pytest.raises(InputError, match="is not a folder"):
        MaskFolder(tmp_path / "nowhere")

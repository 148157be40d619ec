"""How the masks of a frame overlap, by counting pixels."""

from __future__ import annotations

import numpy as np
import pytest

from tracker.evaluation.overlaps import frame_overlap


def index(rows: list[str]) -> np.ndarray:
    return np.array([[0 if c == "." else int(c) for c in row] for row in rows], np.uint16)


def test_every_truth_meets_every_prediction():
    truth = index(["1111", "22..", "...."])
    prediction = index(["55..", "777.", "...."])
    found = frame_overlap(prediction, truth)
    assert found.truth_ids_n.tolist() == [1, 2]
    assert found.predicted_ids_m.tolist() == [5, 7]
    assert found.iou_nm == pytest.approx(np.array([[2 / 4, 0], [0, 2 / 3]]))


@pytest.mark.parametrize(
    ("truth", "prediction"), [("....", "11.."), ("22..", "...."), ("..", "..")]
)
def test_one_of_them_may_be_empty(truth, prediction):
    found = frame_overlap(index([prediction]), index([truth]))
    assert found.iou_nm.shape == (int("2" in truth), int("1" in prediction))
    assert not found.iou_nm.any()


def test_what_lies_mostly_on_void_is_passed_over_unless_it_matches():
    truth = index(["9999", "11..", "...."])
    inside, mostly, half = (
        index(["5...", "....", "...."]),
        index(["55..", "..5.", "...."]),
        index(["5...", "..5.", "...."]),
    )
    found = [frame_overlap(prediction, truth, 9) for prediction in (inside, mostly, half)]
    assert [each.predicted_ids_m.tolist() for each in found] == [[], [], [5]]
    assert [each.truth_ids_n.tolist() for each in found] == [[1]] * 3
    matching = frame_overlap(index(["1155."]), index(["11999"]), 9)
    assert matching.predicted_ids_m.tolist() == [1]
    assert matching.iou_nm.tolist() == [[1.0]]
    spilling = frame_overlap(index(["5555."]), index(["11199"]), 9)
    assert spilling.iou_nm.tolist() == [[3 / 4]]


def test_ids_of_sixteen_bits():
    truth, prediction = np.full((2, 4, 4), 65535, np.uint16)
    assert frame_overlap(prediction, truth).iou_nm.tolist() == [[1.0]]

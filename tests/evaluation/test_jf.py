"""J, F and their statistics on cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tracker.errors import InputError
from tracker.evaluation.jf import Series, jf

FIGURES = {"J&F"} | {f"{m} {s}" for m in "JF" for s in ("mean", "recall", "decay")}


def index(rows: list[str]) -> np.ndarray:
    """Digits are object ids, `.` is background."""
    return np.array([[0 if c == "." else int(c) for c in row] for row in rows], np.uint8)


def test_frames_and_objects_are_averaged_and_ends_left_out():
    truth = [index(["11..", "11..", "..22", "..22"])] * 4
    half = index(["1...", "1...", "..22", "..22"])
    wrong = index(["....", "....", "....", "...."])
    names = ["a", "b", "c", "d"]
    predictions = [wrong, half, truth[2], wrong]
    scores = jf(zip(names, predictions, truth, strict=True))
    assert scores.frames == ("b", "c")
    first, second = scores.objects
    assert (first.object_id, second.object_id) == (1, 2)
    assert first.j.per_frame == (0.5, 1.0)
    assert second.j.mean == 1.0
    assert scores.j == pytest.approx((0.75 + 1.0) / 2)
    assert scores.jf == pytest.approx((scores.j + scores.f) / 2)

    everything = jf(zip(names, predictions, truth, strict=True), scored="all")
    assert everything.objects[0].j.per_frame == (0.0, 0.5, 1.0, 0.0)

    without_the_given = jf(zip(names, predictions, truth, strict=True), scored="vot")
    assert without_the_given.frames == ("b", "c", "d")


def test_recall_counts_frames_above_a_half():
    assert Series((0.5, 0.500001, 1.0, 0.0)).recall == 0.5


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        # Of frames 1 to 8 the quarters end at 1, 2.75, 4.5, 6.25, 8, rounded to 1, 3, 5, 6, 8.
        ((1.0, 0.9, 0.8, 0.3, 0.3, 0.6, 0.2, 0.1), 0.9 - 0.3),
        # Frames 1 to 5: bins of frames 1-2 and 4-5; they share what lies on their edge.
        ((1.0, 0.5, 0.0, 0.5, 0.25), 0.75 - 0.375),
        ((0.25, 0.5), 0.25 - 0.5),
        ((0.7,), 0.0),
    ],
)
def test_decay_is_what_the_last_quarter_lost(values, expected):
    assert Series(values).decay == pytest.approx(expected)


def test_decay_of_more_frames_than_a_byte_counts():
    # 401 frames fall from 1 to 0: quarters of 101 frames, whose means are 0.875 and 0.125.
    assert Series(tuple(np.linspace(1, 0, 401))).decay == pytest.approx(0.75)


def test_void_pixels_are_not_judged():
    truth = index(["11..", "99..", "...."])
    prediction = index(["11..", "11..", "1..."])
    # Without the row of 9: two of three pixels agree.
    (scores,) = jf([("a", prediction, truth)], scored="all", void=9).objects
    assert scores.j.mean == pytest.approx(2 / 3)
    spilled = index(["11..", "11..", "...."])
    assert jf([("a", spilled, truth)], scored="all", void=9).jf == 1.0
    assert len(jf([("a", spilled, truth)], scored="all").objects) == 2


def test_an_object_that_is_absent_from_both_masks_scores_one():
    nothing, object_1 = index(["....", "...."]), index(["11..", "...."])
    frames = [("a", object_1, object_1), ("b", nothing, nothing), ("c", object_1, nothing)]
    (scores,) = jf(frames, scored="all").objects
    assert scores.j.per_frame == (1.0, 1.0, 0.0)


def test_ids_that_only_the_prediction_has_are_not_counted():
    frames = [("a", index(["112", "333"]), index(["11.", "..."]))]
    scores = jf(frames, scored="all")
    assert [entry.object_id for entry in scores.objects] == [1]
    assert scores.j == 1.0


def test_json_names_the_measures():
    scores = jf([("a", index(["1."]), index(["11"]))], scored="all").to_json()
    assert scores["J mean"] == 0.5
    assert scores["frames"] == 1
    assert scores["objects"][0] == {"id": 1, **{k: v for k, v in scores.items() if k in FIGURES}}
    assert scores["J&F"] == (scores["J mean"] + scores["F mean"]) / 2


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (
            [("7", index(["1"]), index(["11"]))],
            "frame 7: the prediction is 1x1 pixels, the truth 2x1",
        ),
        ([("a", index(["1"]), index(["1"]))] * 2, "no frame is left to score"),
        ([("a", index(["1"]), index(["."]))] * 3, "the truth has no object"),
    ],
)
def test_what_cannot_be_scored_is_refused(frames, message):
    with pytest.raises(InputError, match=message):
        jf(frames)

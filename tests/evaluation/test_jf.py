"""J and F on cases worked out by hand, and against a direct reading of the formula."""

from __future__ import annotations

import numpy as np
import pytest

from tracker.errors import InputError
from tracker.evaluation.jf import boundary_similarity, jf, outline


def mask(rows: list[str]) -> np.ndarray:
    """`#` is object."""
    return np.array([[cell == "#" for cell in row] for row in rows])


def index(rows: list[str]) -> np.ndarray:
    """Digits are object ids, `.` is background."""
    return np.array([[0 if c == "." else int(c) for c in row] for row in rows], np.uint8)


def square(top: int, left: int, side: int = 20, size: int = 100) -> np.ndarray:
    out = np.zeros((size, size), bool)
    out[top : top + side, left : left + side] = True
    return out


def test_outline_is_where_the_right_lower_or_diagonal_neighbour_differs():
    found = outline(mask(["....", ".##.", ".##.", "...."]))
    assert (found == mask(["###.", "#.#.", "###.", "...."])).all()


def test_a_mask_that_fills_the_image_has_no_outline():
    assert not outline(np.ones((5, 7), bool)).any()


def test_equal_masks_score_one():
    assert boundary_similarity(square(10, 10), square(10, 10)) == 1.0


@pytest.mark.parametrize(
    ("prediction", "truth", "expected"),
    [
        (np.zeros((9, 9), bool), np.zeros((9, 9), bool), 1.0),
        (square(5, 5), np.zeros((100, 100), bool), 0.0),
        (np.zeros((100, 100), bool), square(5, 5), 0.0),
        (square(0, 0), square(70, 70), 0.0),
    ],
    ids=["both empty", "false object", "missed object", "far apart"],
)
def test_boundary_limits(prediction, truth, expected):
    assert boundary_similarity(prediction, truth) == expected


def test_boundary_tolerance_is_a_share_of_the_diagonal_rounded_up():
    # 100 x 100 pixels: the diagonal is 141.4, 0.8 % of it 1.13, so 2 pixels are near enough.
    assert boundary_similarity(square(10, 10), square(12, 10)) == 1.0
    assert boundary_similarity(square(10, 10), square(13, 10)) < 1.0


def test_boundary_of_a_square_shifted_by_three_pixels():
    # Each outline is the rim of a square of 21 x 21 pixels: 80 pixels. 2 pixels are near enough.
    # The 21 pixels of the upper side are 3 away from the other rim: none matches. The vertical
    # sides, 38 pixels without their ends, match: the highest is 2 above the other's top. Of the
    # lower side only 3 at each end match: they lie within 2 pixels of the other's vertical sides.
    expected = (38 + 3 + 3) / 80
    found = boundary_similarity(square(10, 10), square(13, 10))
    assert found == pytest.approx(expected)


def direct_boundary_similarity(a, b, radius):
    """The definition, pixel by pixel."""
    pa, pb = np.argwhere(outline(a)), np.argwhere(outline(b))
    distances = np.linalg.norm(pa[:, None] - pb[None], axis=2)
    precision = (distances.min(axis=1) <= radius).mean()
    recall = (distances.min(axis=0) <= radius).mean()
    return 2 * precision * recall / (precision + recall)


@pytest.mark.parametrize("seed", range(5))
def test_boundary_equals_the_definition_on_random_blobs(seed):
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(2, 12, 16)).repeat(8, axis=1).repeat(8, axis=2)
    a, b = noise > 0.4
    radius = int(np.ceil(0.008 * np.hypot(96, 128)))
    assert boundary_similarity(a, b) == pytest.approx(direct_boundary_similarity(a, b, radius))


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
    assert first.j_per_frame == (0.5, 1.0)
    assert second.j == 1.0
    assert scores.j == pytest.approx((0.75 + 1.0) / 2)
    assert scores.jf == pytest.approx((scores.j + scores.f) / 2)

    everything = jf(zip(names, predictions, truth, strict=True), skip_ends=False)
    assert everything.objects[0].j_per_frame == (0.0, 0.5, 1.0, 0.0)


def test_an_object_that_is_absent_from_both_masks_scores_one():
    nothing, object_1 = index(["....", "...."]), index(["11..", "...."])
    frames = [("a", object_1, object_1), ("b", nothing, nothing), ("c", object_1, nothing)]
    (scores,) = jf(frames, skip_ends=False).objects
    assert scores.j_per_frame == (1.0, 1.0, 0.0)


def test_ids_that_only_the_prediction_has_are_not_counted():
    frames = [("a", index(["112", "333"]), index(["11.", "..."]))]
    scores = jf(frames, skip_ends=False)
    assert [entry.object_id for entry in scores.objects] == [1]
    assert scores.j == 1.0


def test_json_names_the_measures():
    scores = jf([("a", index(["1."]), index(["11"]))], skip_ends=False).to_json()
    assert scores["J"] == 0.5
    assert scores["objects"][0]["id"] == 1
    assert scores["J&F"] == (scores["J"] + scores["F"]) / 2


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

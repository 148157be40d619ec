"""F on cases worked out by hand, and against a direct reading of the definition."""

from __future__ import annotations

import numpy as np
import pytest

from tracker.evaluation.boundary import boundary_similarity, outline


def mask(rows: list[str]) -> np.ndarray:
    """`#` is object."""
    return np.array([[cell == "#" for cell in row] for row in rows])


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


def test_outlines_at_the_images_edge_are_those_of_the_mask_inside():
    # Half of a 4 x 4 image: only the seam between the halves is an outline, on the left side of it.
    left_half = mask(["##..", "##..", "##..", "##.."])
    assert (outline(left_half) == mask([".#..", ".#..", ".#..", ".#.."])).all()
    # The upper half: the seam lies on the row above it, up to the last column.
    assert (outline(left_half.T) == mask(["....", "####", "....", "...."])).all()
    # A single pixel in the lower right corner: itself has no neighbour there that differs.
    corner = mask(["...", "...", "..#"])
    assert (outline(corner) == mask(["...", ".##", ".#."])).all()


def test_precision_and_recall_are_weighed_by_their_harmonic_mean():
    # 10 x 100 pixels: the diagonal is 100.5, so 1 pixel is near enough. The truth is a bar of 1 x 4
    # pixels with an outline of 5 + 5 = 10 pixels: row 3 from x = 9 to 13, row 4 all but those that
    # have equal neighbours to the right, below and below right, of which a bar has none.
    truth, prediction = np.zeros((2, 10, 100), bool)
    truth[4, 10:14] = True
    prediction[4, 10:14] = True
    prediction[4, 50:54] = True  # a second bar, far away: half of the predicted outline is wrong
    expected = 2 * 0.5 * 1 / (0.5 + 1)
    assert boundary_similarity(prediction, truth) == pytest.approx(expected)

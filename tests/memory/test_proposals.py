import numpy as np
import pytest

from tests.memory.painted import grid_with, grown_mask, painted
from tracker.memory.comparison import compare, standing_out
from tracker.memory.proposals import (
    MOST_POINTS,
    PADDING_PX,
    object_regions,
    propose,
)

REFERENCE = grid_with(10, 10, (1, 2, 2, 7, 8))
QUERY = grid_with(20, 24, (1, 8, 12, 13, 18))
SIZE_HW = (400, 480)  # 20 px per patch of the query
ALL = ("points", "box", "both")


def proposals(query=QUERY, reference=REFERENCE, kinds=ALL, seed=0):
    compared = compare(painted(reference), grown_mask(reference, 1), painted(query, seed=1))
    return propose(compared, SIZE_HW, kinds, seed)


def cells(points_n2):
    """Rows and columns of the patches that points lie in."""
    return tuple((points_n2[:, ::-1] // 20).astype(int).T)


def test_positive_points_are_centres_of_patches_on_the_object():
    points = proposals(kinds=("points",))[0]
    positive = points.points_n2[points.point_labels_n == 1]
    assert 1 <= len(positive) <= MOST_POINTS
    np.testing.assert_array_equal(positive % 20, 10)
    assert (QUERY[cells(positive)] == 1).all()
    assert len({tuple(xy) for xy in positive}) == len(positive)


def test_points_follow_the_object_not_the_stored_mask():
    for shift in (0, 3, 6):
        query = np.roll(QUERY, (shift, -shift), axis=(0, 1))
        points = proposals(query, kinds=("points",))[0]
        positive = points.points_n2[points.point_labels_n == 1]
        assert (query[cells(positive)] == 1).all()


def test_points_are_spread_over_the_object():
    positive = proposals(kinds=("points",))[0].points_n2
    height, width = np.ptp(positive[:, 1]), np.ptp(positive[:, 0])
    assert len(positive) >= 3
    assert width >= 40
    assert height >= 40


def test_the_box_encloses_the_object_and_little_more():
    x1, y1, x2, y2 = proposals(kinds=("box",))[0].box_xyxy
    assert 240 - 20 - PADDING_PX <= x1 <= 240
    assert 360 <= x2 <= 360 + 20 + PADDING_PX
    assert 160 - 20 - PADDING_PX <= y1 <= 160
    assert 260 <= y2 <= 260 + 20 + PADDING_PX


def test_boxes_and_points_stay_inside_the_image():
    for corner in ((0, 0), (0, 19), (15, 0), (15, 19)):
        query = grid_with(20, 24, (1, *corner, corner[0] + 5, corner[1] + 5))
        for proposal in proposals(query):
            assert (proposal.points_n2 >= 0).all()
            assert (proposal.points_n2 < (480, 400)).all()
            if proposal.box_xyxy is not None:
                x1, y1, x2, y2 = proposal.box_xyxy
                assert 0 <= x1 < x2 <= 480
                assert 0 <= y1 < y2 <= 400


def test_what_looks_a_little_like_the_object_becomes_a_negative_point():
    alike = painted(QUERY, seed=1).patches_hwc.copy()
    alike[8:13, 20:22] = 0.75 * alike[10, 15] + 0.66 * alike[0, 0]  # beside the object
    compared_to = painted(QUERY, seed=1)
    query = type(compared_to)(
        compared_to.global_c, alike / np.linalg.norm(alike, axis=2)[..., None]
    )
    compared = compare(painted(REFERENCE), grown_mask(REFERENCE, 1), query)
    points = propose(compared, SIZE_HW, ("points",))[0]
    negative = points.points_n2[points.point_labels_n == 0]
    assert len(negative) <= MOST_POINTS
    assert (QUERY[cells(negative)] == 0).all()


def test_kinds_are_what_was_asked_for():
    for kind in ALL:
        (proposal, *_) = proposals(kinds=(kind,))
        assert proposal.kind == kind
        assert (proposal.box_xyxy is None) == (kind == "points")
        assert (len(proposal.points_n2) == 0) == (kind == "box")
    assert [p.kind for p in proposals()[:3]] == list(ALL)


def test_the_same_seed_gives_the_same_points():
    one, two = proposals(seed=3)[0], proposals(seed=3)[0]
    np.testing.assert_array_equal(one.points_n2, two.points_n2)


def test_each_part_is_a_region_and_near_ones_together_are_one():
    contrast = np.zeros((6, 12), np.float32)
    contrast[1:3, 1:3] = 1.0
    contrast[1:3, 5:7] = 0.8  # two patches away: perhaps the same object
    contrast[5, 11] = 0.7
    one, two, three, both = object_regions(contrast, standing_out(contrast))
    np.testing.assert_array_equal(one, contrast == 1)
    np.testing.assert_array_equal(two, contrast == np.float32(0.8))
    np.testing.assert_array_equal(three, contrast == np.float32(0.7))
    np.testing.assert_array_equal(both, one | two)


def test_a_single_part_is_a_single_region():
    contrast = np.zeros((6, 12), np.float32)
    contrast[1:3, 1:3] = 1.0
    (region,) = object_regions(contrast, standing_out(contrast))
    np.testing.assert_array_equal(region, contrast == 1)


@pytest.mark.parametrize("value", [0.0, -0.4])
def test_a_flat_map_still_has_a_region(value):
    contrast = np.full((4, 5), value, np.float32)
    (region, *_) = object_regions(contrast, standing_out(contrast))
    assert region.any()

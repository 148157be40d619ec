import json
from dataclasses import asdict, astuple

import numpy as np
import pytest

from tests.memory.painted import ColourPrompter, grid_with, grown_mask, painted
from tracker.memory.candidates import answer, measure
from tracker.memory.comparison import compare
from tracker.memory.proposals import propose

REFERENCE = grid_with(10, 10, (1, 2, 2, 7, 8))
QUERY = grid_with(20, 24, (1, 8, 12, 13, 18))


@pytest.fixture(scope="module")
def compared():
    return compare(painted(REFERENCE), grown_mask(REFERENCE, 1), painted(QUERY, seed=1))


def rectangle(top, left, bottom, right):
    mask = np.zeros((400, 480), bool)
    mask[20 * top : 20 * bottom, 20 * left : 20 * right] = True
    return mask


def test_the_whole_object_fits_in_every_respect(compared):
    assert min(astuple(measure(rectangle(8, 12, 13, 18), compared))) > 0.9


@pytest.mark.parametrize(
    ("mask", "weak"),
    [
        (rectangle(8, 12, 10, 15), "completeness"),  # a part
        (rectangle(2, 4, 18, 22), "purity"),  # too much
        (rectangle(0, 0, 5, 6), "similarity"),  # elsewhere
        (rectangle(0, 0, 5, 6), "coverage"),
    ],
)
def test_other_masks_fail_in_one_respect(compared, mask, weak):
    assert asdict(measure(mask, compared))[weak] < 0.4


def test_a_double_of_the_object_takes_nothing_away():
    query = grid_with(20, 24, (1, 8, 12, 13, 18), (1, 2, 2, 7, 8))
    compared = compare(painted(REFERENCE), grown_mask(REFERENCE, 1), painted(query, seed=1))
    for mask in (rectangle(8, 12, 13, 18), rectangle(2, 2, 7, 8)):
        assert min(astuple(measure(mask, compared))) > 0.8


def test_an_empty_mask_measures_nothing(compared):
    assert astuple(measure(np.zeros((400, 480), bool), compared)) == (0, 0, 0, 0)


def test_answers_carry_what_they_come_from(compared):
    image = np.kron(np.where(QUERY[..., None] == 1, 200, 60), np.ones((20, 20, 1))).astype(np.uint8)
    image = np.repeat(image, 3, axis=2)
    prompter = ColourPrompter()
    prompter.set_image(image)
    for proposal in propose(compared, (400, 480), ("points", "box", "both")):
        (candidate,) = answer(proposal, "abc", compared, prompter)
        np.testing.assert_array_equal(candidate.mask_hw, rectangle(8, 12, 13, 18))
        assert 0.9 < candidate.agreement < 1
        written = json.loads(json.dumps(candidate.to_json()))
        assert written["kind"] == proposal.kind
        assert written["mask_area_px"] == 5 * 6 * 400
        assert (written["box"] is None) == (proposal.box_xyxy is None)
        assert len(written["points"]) == len(written["point_labels"]) == len(proposal.points_n2)

"""Which candidate mask is taken: what the model, and what the object's colours say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.made_pictures import BLUE, GREY, RED, picture, square
from tracker.models.choosing import choose, stability
from tracker.prompted_colours import Colours, colour_bins, in_square

OBJECT, OTHER = (np.where(square(x, 20, 20), 6.0, -6.0).astype(np.float32) for x in (10, 40))


def chosen(colours: Colours, image_hwc: np.ndarray, *ious: float) -> int:
    logits_mhw, ious_m = np.stack([OBJECT, OTHER]), np.array(ious, np.float32)
    return choose(logits_mhw, ious_m, colours, colour_bins(in_square(image_hwc)))


def test_colours_outweigh_a_predicted_iou_where_they_tell_things_apart() -> None:
    image_hwc, mask_hw = picture(RED, BLUE)
    colours = Colours.of(image_hwc, mask_hw)
    assert colours.distinctness == pytest.approx(1, abs=0.05)
    assert chosen(colours, image_hwc, 0.5, 0.9) == 0
    assert chosen(colours, image_hwc[:, ::-1].copy(), 0.9, 0.5) == 1  # it has changed places


def test_colours_that_are_half_as_distinct_count_a_sixteenth() -> None:
    image_hwc, mask_hw = picture(RED, BLUE)
    colours = Colours.of(image_hwc, mask_hw)
    half = replace(colours, distinctness=colours.distinctness / 2)
    for each, tips in ((colours, np.exp(4)), (half, np.exp(4 / 16))):  # contrasts of 1 and 0
        assert chosen(each, image_hwc, 0.9 / tips * 1.25, 0.9) == 0
        assert chosen(each, image_hwc, 0.9 / tips * 0.8, 0.9) == 1


def test_where_everything_has_one_colour_the_model_alone_decides() -> None:
    image_hwc, mask_hw = picture(GREY, GREY)
    colours = Colours.of(image_hwc, mask_hw)
    assert colours.distinctness == 0
    assert [chosen(colours, image_hwc, 0.5, 0.6), chosen(colours, image_hwc, 0.6, 0.5)] == [1, 0]


def test_of_two_candidates_alike_the_stable_one_is_taken() -> None:
    assert stability(OBJECT) == 1
    vague = np.where(square(8, 18, 24), 0.5, -6.0).astype(np.float32)
    vague[square(10, 20, 20)] = 6.0
    assert stability(vague) == pytest.approx(401 / 577)
    assert stability(np.full((4, 4), -1024, np.float32)) == 1  # an absent object's
    image_hwc, mask_hw = picture(GREY, GREY)
    colours, bins_hw = Colours.of(image_hwc, mask_hw), colour_bins(in_square(image_hwc))
    ious_m = np.array([0.7, 0.7], np.float32)
    assert choose(np.stack([vague, OBJECT]), ious_m, colours, bins_hw) == 1
    assert choose(np.stack([OBJECT, vague]), ious_m, colours, bins_hw) == 0

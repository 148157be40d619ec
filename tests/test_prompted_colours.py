"""The colours of an object, known from its prompts."""

from __future__ import annotations

import numpy as np
import pytest

from tests.made_pictures import BLUE, CELLS, GREY, RED, picture, square
from tracker.prompted_colours import BINS, SIDE, Colours, colour_bins, contrast, in_square

INSIDE, OTHER, GROUND = (40, 20), (40, 80), (0, 0)  # of a picture: row, column


def test_what_looks_like_the_object_and_what_does_not() -> None:
    image_hwc, mask_hw = picture(RED, BLUE)
    colours = Colours.of(image_hwc, mask_hw)
    assert colours.distinctness == pytest.approx(1, abs=0.05)
    nowhere_hw = colour_bins(in_square(np.full_like(image_hwc, (240, 220, 20))))
    assert (colours.likelihood(nowhere_hw) == 0.5).all()
    assert (colours.log_odds(nowhere_hw) == 0).all()
    bins_hw = colour_bins(in_square(image_hwc))
    seen_hw, odds_hw = colours.likelihood(bins_hw), colours.log_odds(bins_hw)
    np.testing.assert_allclose(1 / (1 + np.exp(-odds_hw)), seen_hw, atol=1e-6)
    scale = SIDE // (2 * CELLS)
    inside, other, ground = (
        seen_hw[(row + 5) * scale, (column + 5) * scale] for row, column in (INSIDE, OTHER, GROUND)
    )
    assert inside > 0.999 and max(other, ground) < 0.001


def test_an_object_that_has_the_colour_of_its_surroundings_is_not_distinct() -> None:
    assert Colours.of(*picture(GREY, BLUE)).distinctness == 0


def test_what_several_prompts_showed_counts_together() -> None:
    first, second = Colours.of(*picture(RED, GREY)), Colours.of(*picture(BLUE, GREY))
    both = Colours.together([first, second])
    assert both.counts_2n.sum() == 2 * first.counts_2n.sum() == 2 * SIDE**2
    assert both.counts_2n.dtype == np.int32
    assert both.distinctness == (first.distinctness + second.distinctness) / 2
    bins_hw = colour_bins(in_square(picture(RED, BLUE)[0]))
    red = square(22, 42, 36, 2 * CELLS).repeat(2, 0).repeat(2, 1)
    blue = square(82, 42, 36, 2 * CELLS).repeat(2, 0).repeat(2, 1)
    assert first.likelihood(bins_hw)[red].min() > 0.9
    assert first.likelihood(bins_hw)[blue].max() <= 0.5
    seen_hw = both.likelihood(bins_hw)
    assert min(seen_hw[red].min(), seen_hw[blue].min()) > 0.9 and seen_hw[GROUND] < 0.1


def test_contrast_is_of_the_inside_with_a_ring_around_it() -> None:
    seen_hw = np.full((CELLS, CELLS), 0.25, np.float32)
    seen_hw[square(10, 20, 20)] = 0.75
    assert contrast(seen_hw, square(10, 20, 20)) == pytest.approx(0.5)
    assert contrast(seen_hw, square(20, 20, 10)) < 0.4  # half of its ring is object too
    assert contrast(seen_hw, np.zeros((CELLS, CELLS), bool)) == 0
    assert contrast(seen_hw, np.ones((CELLS, CELLS), bool)) == pytest.approx(seen_hw.mean())


def test_every_colour_has_a_bin() -> None:
    every = np.mgrid[0:256:5, 0:256:5, 0:256:5].reshape(3, -1, 1).T.astype(np.uint8)
    bins_hw = colour_bins(every)
    assert bins_hw.shape == every.shape[:2]
    assert bins_hw.min() == 0 and bins_hw.max() == BINS - 1 and len(np.unique(bins_hw)) == BINS
    assert in_square(np.zeros((9, 5, 3), np.uint8)).shape == (SIDE, SIDE, 3)  # of any size

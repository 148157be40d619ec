import numpy as np
import pytest

from tests.memory.painted import grid_with, grown_mask, painted
from tracker.memory.comparison import compare

REFERENCE = grid_with(8, 10, (1, 2, 3, 5, 6))
QUERY = grid_with(9, 12, (1, 5, 7, 8, 10), (2, 1, 1, 3, 3))


def test_the_object_stands_out_where_it_is():
    compared = compare(painted(REFERENCE), grown_mask(REFERENCE, 1), painted(QUERY, seed=1))
    contrast = compared.contrast_hw
    assert contrast.shape == (9, 12)
    assert contrast.dtype == np.float32
    row, column = np.unravel_index(contrast.argmax(), contrast.shape)
    assert QUERY[row, column] == 1
    assert contrast[QUERY == 1].min() > contrast[QUERY == 2].max()
    assert np.median(contrast) == pytest.approx(0, abs=1e-6)


def test_the_object_feature_is_the_mean_of_its_patches():
    reference = painted(REFERENCE, noise=0.2)
    compared = compare(reference, grown_mask(REFERENCE, 1), painted(QUERY, seed=1))
    mean = reference.patches_hwc[REFERENCE == 1].mean(axis=0)
    np.testing.assert_allclose(compared.object_c, mean / np.linalg.norm(mean), atol=1e-6)


def test_what_is_taken_is_neither_matched_nor_the_greatest_contrast():
    free = np.ones((9, 12), bool)
    free[5:8, 7:10] = False
    compared = compare(painted(REFERENCE), grown_mask(REFERENCE, 1), painted(QUERY, seed=1), free)
    assert (compared.contrast_hw[~free] == compared.contrast_hw.min()).all()
    assert free[tuple(compared.matches.query_cells_n2.T)].all()


def test_a_mask_that_fills_its_image_still_compares():
    everywhere = np.ones((80, 100), bool)
    compared = compare(painted(np.ones((8, 10), int)), everywhere, painted(QUERY, seed=1))
    assert QUERY[np.unravel_index(compared.contrast_hw.argmax(), (9, 12))] == 1

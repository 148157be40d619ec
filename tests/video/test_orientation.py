from __future__ import annotations

import numpy as np
import pytest

from tracker.video.orientation import Orientation

ONE = 1 << 16

STORED_HWC = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)


def shown_by_definition(matrix_abcd: tuple[int, int, int, int]) -> np.ndarray:
    """Put every pixel where the matrix sends its centre, shifted into view."""
    a, b, c, d = matrix_abcd
    height, width = STORED_HWC.shape[:2]
    places = {(q, p): (b * p + d * q, a * p + c * q) for q in range(height) for p in range(width)}
    top = min(row for row, _ in places.values())
    left = min(column for _, column in places.values())
    shape = (width, height, 3) if a == 0 else (height, width, 3)
    shown = np.zeros(shape, np.uint8)
    for (q, p), (row, column) in places.items():
        shown[row - top, column - left] = STORED_HWC[q, p]
    return shown


@pytest.mark.parametrize("first", [-1, 1])
@pytest.mark.parametrize("second", [-1, 1])
@pytest.mark.parametrize("transposed", [False, True])
def test_all_eight_orientations_follow_the_matrix(first, second, transposed):
    a, b, c, d = (0, first, second, 0) if transposed else (first, 0, 0, second)
    matrix = [a * ONE, b * ONE, 0, c * ONE, d * ONE, 0, 0, 0, 1 << 30]
    orientation = Orientation.from_display_matrix(matrix)
    shown_hwc = orientation.apply(STORED_HWC)
    assert shown_hwc.tolist() == shown_by_definition((a, b, c, d)).tolist()
    assert shown_hwc.flags.c_contiguous
    assert orientation.transposed == transposed


def test_scale_does_not_matter():
    matrix = [3 * ONE, 5, 0, -5, 3 * ONE, 0, 0, 0, 1 << 30]
    assert Orientation.from_display_matrix(matrix) == Orientation()


@pytest.mark.parametrize("abcd", [(46341, -46341, 46341, 46341), (0, 0, 0, 0)])
def test_other_angles_have_no_orientation(abcd):
    a, b, c, d = abcd
    assert Orientation.from_display_matrix([a, b, 0, c, d, 0, 0, 0, 1 << 30]) is None

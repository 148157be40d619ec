"""Views: a part of an image."""

from __future__ import annotations

import numpy as np
import pytest

from tracker.views import holds, in_view, shows, view_around, widened


def mask(x1, y1, x2, y2, size_hw=(300, 400)):
    mask_hw = np.zeros(size_hw, bool)
    mask_hw[y1:y2, x1:x2] = True
    return mask_hw


@pytest.mark.parametrize(
    ("box", "view"),
    [
        ((200, 100, 280, 130), (180, 70, 300, 160)),  # as wide as 1.5 objects, 4 to 3
        ((200, 100, 220, 160), (150, 85, 270, 175)),  # as high
        ((0, 270, 80, 300), (0, 210, 120, 300)),  # in a corner it moves inside
        ((200, 100, 204, 103), (186, 85, 218, 117)),  # no smaller than 32 pixels
        ((10, 10, 390, 290), (0, 0, 400, 300)),  # no larger than the image
    ],
)
def test_a_view_has_room_around_the_object(box, view):
    assert view_around(mask(*box), 1.5) == view


@pytest.mark.parametrize(
    ("box", "view"),
    [
        ((200, 100, 280, 140), (160, 80, 320, 160)),
        ((200.2, 100.1, 280.2, 140.9), (160, 79, 321, 162)),  # whole pixels that hold it
        ((10, 20, 90, 290), (0, 0, 130, 300)),  # ends with the image
        ((200, 100, 204, 180), (186, 60, 218, 220)),  # no narrower than 32 pixels
    ],
)
def test_a_box_that_is_widened_keeps_its_proportions(box, view):
    assert widened(box, 0.5, (300, 400)) == view


def test_an_empty_mask_has_none():
    with pytest.raises(ValueError, match="empty"):
        view_around(np.zeros((30, 40), bool), 1.5)


def test_what_is_seen_is_a_part_of_the_image():
    image_hwc = np.arange(30 * 40 * 3).reshape(30, 40, 3)
    np.testing.assert_array_equal(in_view(image_hwc, (5, 10, 20, 28)), image_hwc[10:28, 5:20])
    assert in_view(image_hwc, None) is image_hwc


def test_what_lies_in_a_view():
    view = (5, 10, 20, 28)
    assert holds(view, (5, 10, 20, 28))
    assert not holds(view, (4.9, 10, 20, 28))
    assert not holds(view, (5, 10, 20, 28.1))
    points_n2 = np.array([[5, 10], [19.9, 27.9], [20, 12], [6, 9]], np.float32)
    assert shows(view, points_n2).tolist() == [True, True, False, False]
    assert shows(view, points_n2[:0]).tolist() == []

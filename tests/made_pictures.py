"""Pictures of squares of one colour each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tracker.masks import BoolMask

RED, BLUE, GREY = (220, 30, 30), (30, 30, 220), (128, 128, 128)
CELLS = 72  # of a model's mask, along a side; a picture is twice as large

Colour = tuple[int, int, int]


def square(x: int, y: int, side: int, size: int = CELLS) -> BoolMask:
    mask_hw = np.zeros((size, size), bool)
    mask_hw[y : y + side, x : x + side] = True
    return mask_hw


def picture(object_colour: Colour, other_colour: Colour) -> tuple[NDArray[np.uint8], BoolMask]:
    """A square of a colour on grey with another beside it, RGB uint8, and the first one's mask."""
    image_hwc = np.full((2 * CELLS, 2 * CELLS, 3), GREY, np.uint8)
    mask_hw = square(20, 40, 40, 2 * CELLS)
    image_hwc[mask_hw] = object_colour
    image_hwc[square(80, 40, 40, 2 * CELLS)] = other_colour
    return image_hwc, mask_hw

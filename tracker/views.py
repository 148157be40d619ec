"""Views: the part of an image that is looked at, as a box of whole pixels. No torch.

What is small on a whole image is large in a view, for a model that resizes what it is given.
"""

from __future__ import annotations

from math import ceil, floor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracker.masks import BoolMask, Box, mask_box

View = tuple[int, int, int, int]
"""`xyxy` in pixels; x2 and y2 are exclusive."""

LEAST_PX = 32  # sides of a view: fewer pixels show nothing


def view_around(mask_hw: BoolMask, room: float) -> View:
    """The view around an object, with the image's proportions and inside it.

    Args:
        mask_hw: bool, with a pixel.
        room: the view is so many times as wide, or as high, as the object's box.
    """
    box = mask_box(mask_hw)
    if box is None:
        raise ValueError("an empty mask has no view around it")
    (height, width), (x1, y1, x2, y2) = mask_hw.shape, box
    share = room * max((x2 - x1) / width, (y2 - y1) / height)
    view_width = min(width, max(LEAST_PX, int(width * share)))
    view_height = min(height, max(LEAST_PX, int(height * share)))
    left = _beginning((x1 + x2 - view_width) / 2, width - view_width)
    top = _beginning((y1 + y2 - view_height) / 2, height - view_height)
    return left, top, left + view_width, top + view_height


def widened(box: Box, share: float, size_hw: tuple[int, int]) -> View:
    """The view of a box that was widened on each side by a share of its size; inside the image.

    Where that is less than `LEAST_PX`, it is widened more.
    """
    (x1, y1, x2, y2), (height, width) = box, size_hw
    dx = max(share * (x2 - x1), (LEAST_PX - (x2 - x1)) / 2)
    dy = max(share * (y2 - y1), (LEAST_PX - (y2 - y1)) / 2)
    left, top = max(0, floor(x1 - dx)), max(0, floor(y1 - dy))
    return left, top, min(width, ceil(x2 + dx)), min(height, ceil(y2 + dy))


def in_view(image: NDArray[Any], view: View | None) -> NDArray[Any]:
    """The part of an image or mask, `hw` or `hwc`, that a view shows; None shows it all."""
    if view is None:
        return image
    x1, y1, x2, y2 = view
    return image[y1:y2, x1:x2]


def holds(view: View, box: Box) -> bool:
    """Whether a box lies in a view."""
    (x1, y1, x2, y2), (left, top, right, bottom) = box, view
    return left <= x1 and top <= y1 and x2 <= right and y2 <= bottom


def shows(view: View, points_n2: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which of the points `xy` lie in a view, bool `n`."""
    inside_n2 = (points_n2 >= view[:2]) & (points_n2 < view[2:])
    return np.asarray(inside_n2.all(axis=1))


def _beginning(wanted: float, most: int) -> int:
    return int(min(max(wanted, 0), most))

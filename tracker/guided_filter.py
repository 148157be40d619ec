"""The guided filter: a map that follows the edges of a picture.

He, Sun and Tang, "Guided Image Filtering" (IEEE TPAMI 2013), with the three channels of a colour
picture as its guide, in the form of He and Sun, "Fast Guided Filter" (arXiv:1505.00996): how values
depend on colours in each window is learned from a small picture, and holds for a larger one.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float32]


def guided(values_hw: Map, small_hw3: Map, large_hw3: Map, *, radius: int, epsilon: float) -> Map:
    """The values, as linear functions of colour in every window of the large picture.

    Args:
        values_hw: float32, on the small picture.
        small_hw3: float32, the small picture.
        large_hw3: float32, the same picture, at least as large.
        radius: of a window, in pixels of the small picture.
        epsilon: a variance of colour; where the picture varies less, values are averaged.

    Returns:
        float32, of the large picture's height and width.
    """
    mean_hw, colour_hw3 = _windowed(values_hw, radius), _windowed(small_hw3, radius)
    joint_hw3 = (
        _windowed(values_hw[..., None] * small_hw3, radius) - mean_hw[..., None] * colour_hw3
    )
    squares_hw9 = (small_hw3[..., None] * small_hw3[..., None, :]).reshape(*values_hw.shape, 9)
    spread_hw33 = _windowed(squares_hw9, radius).reshape(*values_hw.shape, 3, 3)
    spread_hw33 -= colour_hw3[..., None] * colour_hw3[..., None, :]
    spread_hw33 += epsilon * np.eye(3, dtype=np.float32)
    slope_hw3 = _solved(spread_hw33, joint_hw3)
    offset_hw = mean_hw - _dot(slope_hw3, colour_hw3)
    large_wh = large_hw3.shape[1], large_hw3.shape[0]
    slope_hw3, offset_hw = (
        np.asarray(cv2.resize(_windowed(each, radius), large_wh), np.float32)
        for each in (slope_hw3, offset_hw)
    )
    return _dot(slope_hw3, large_hw3) + offset_hw


def _windowed(maps: Map, radius: int) -> Map:
    """The mean of the window around each pixel, per channel."""
    side_wh = 2 * radius + 1, 2 * radius + 1
    return np.asarray(cv2.blur(maps, side_wh, borderType=cv2.BORDER_REFLECT), np.float32)


def _solved(symmetric_hw33: Map, right_hw3: Map) -> Map:
    """The solution of three linear equations for every pixel, by Cramer's rule."""
    a, b, c = (symmetric_hw33[..., row, :] for row in range(3))
    cofactors = np.cross(b, c), np.cross(c, a), np.cross(a, b)
    determinant_hw = _dot(a, cofactors[0])
    return np.dstack([_dot(right_hw3, each) / determinant_hw for each in cofactors])


def _dot(a_hw3: Map, b_hw3: Map) -> Map:
    return np.asarray(np.einsum("hwc,hwc->hw", a_hw3, b_hw3))

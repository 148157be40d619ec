"""The guided filter: a map that follows the edges of a picture.

He, Sun and Tang, "Guided Image Filtering" (IEEE TPAMI 2013), with the three channels of a colour
picture as its guide, in the form of He and Sun, "Fast Guided Filter" (arXiv:1505.00996): how values
depend on colours in each window is learned from a small picture, and holds for a larger one.
"""

from __future__ import annotations

from collections.abc import Sequence

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

    def windowed(map_hw: Map) -> Map:
        """The mean of the window around each pixel."""
        side_wh = 2 * radius + 1, 2 * radius + 1
        return np.asarray(cv2.blur(map_hw, side_wh, borderType=cv2.BORDER_REFLECT), np.float32)

    colours = _planes(small_hw3)
    mean_hw, means = windowed(values_hw), [windowed(colour_hw) for colour_hw in colours]
    joint = [windowed(values_hw * c) - mean_hw * m for c, m in zip(colours, means, strict=True)]
    spread = [
        windowed(colours[i] * colours[j]) - means[i] * means[j] + np.float32(epsilon * (i == j))
        for i, j in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
    ]
    slopes = _solved(spread, joint)
    offset_hw = mean_hw - _dot(slopes, means)
    large_wh = large_hw3.shape[1], large_hw3.shape[0]
    *slopes, offset_hw = (
        np.asarray(cv2.resize(windowed(each_hw), large_wh), np.float32)
        for each_hw in (*slopes, offset_hw)
    )
    return _dot(slopes, _planes(large_hw3)) + offset_hw


def _planes(picture_hw3: Map) -> list[Map]:
    return [np.asarray(plane_hw, np.float32) for plane_hw in cv2.split(picture_hw3)]


def _solved(symmetric: Sequence[Map], right: Sequence[Map]) -> list[Map]:
    """The solution of three linear equations for every pixel, by Cramer's rule.

    Args:
        symmetric: the six different coefficients, row by row.
    """
    a, b, c, d, e, f = symmetric
    ce_bf, be_cd, bc_ae = c * e - b * f, b * e - c * d, b * c - a * e
    cofactors = (
        (d * f - e * e, ce_bf, be_cd),
        (ce_bf, a * f - c * c, bc_ae),
        (be_cd, bc_ae, a * d - b * b),
    )
    determinant_hw = _dot((a, b, c), cofactors[0])
    return [_dot(row, right) / determinant_hw for row in cofactors]


def _dot(a: Sequence[Map], b: Sequence[Map]) -> Map:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]

"""How clearly the colours of a picture change where a mask ends.

Features say what lies in a mask, patch by patch, and little of where it ends. A mask that cuts
through a thing, or spills over its edge, ends in part where nothing is to be seen.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.masks import BoolMask, mask_box

SIDE = 256  # of the picture's longer side, in pixels: fine edges are noise
REACH = 3  # so many pixels to either side of the outline are averaged
CLEAR = 30.0  # difference in OpenCV's 8-bit CIELAB; the same all along gives 0.63
UNSEEN = 0.7  # of a mask that has no outline in the picture

Lab = NDArray[np.float32]


def small_lab(image_hwc: NDArray[np.uint8]) -> Lab:
    """An RGB picture as outlines are looked for in it, CIELAB as OpenCV's uint8 but float32."""
    scale = SIDE / max(image_hwc.shape[:2])
    height, width = (max(1, round(side * scale)) for side in image_hwc.shape[:2])
    small_hwc = cv2.resize(image_hwc, (width, height), interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(small_hwc, cv2.COLOR_RGB2LAB).astype(np.float32)


def outline_clarity(lab_hwc: Lab, mask_hw: BoolMask) -> float:
    """0 to 1: the root of the mean of 1 - exp(-d² / 2 `CLEAR`²) along the outline.

    d is the distance between the mean colours inside and outside of the mask, near that place.
    """
    height, width = lab_hwc.shape[:2]
    share_hw = cv2.resize(mask_hw.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    inside_hw = share_hw >= 0.5
    box = mask_box(inside_hw)
    if box is None:
        return UNSEEN
    x1, y1, x2, y2 = (int(v) for v in box)
    room = REACH + 1
    near = np.s_[max(0, y1 - room) : y2 + room, max(0, x1 - room) : x2 + room]
    inside_hw, lab_hwc = inside_hw[near], lab_hwc[near]
    within, weight_hw = _local_means(lab_hwc, inside_hw)
    around, other_weight_hw = _local_means(lab_hwc, ~inside_hw)
    core_hw = cv2.erode(inside_hw.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    outline_hw = inside_hw & ~core_hw & (weight_hw > 0) & (other_weight_hw > 0)
    if not outline_hw.any():
        return UNSEEN
    squares_n = ((within - around)[outline_hw] ** 2).sum(axis=1)
    return float(np.sqrt((1 - np.exp(-squares_n / (2 * CLEAR**2))).mean()))


def _local_means(lab_hwc: Lab, part_hw: BoolMask) -> tuple[Lab, NDArray[np.float32]]:
    """The mean colour of a part around every pixel, and how many pixels of it are there."""
    part = part_hw.astype(np.float32)
    sums, counts_hw = (_summed(each) for each in (lab_hwc * part[..., None], part))
    return (sums / np.maximum(counts_hw, 1)[..., None]).astype(np.float32), counts_hw


def _summed(values: NDArray[np.float32]) -> NDArray[np.float32]:
    window = (2 * REACH + 1, 2 * REACH + 1)
    summed = cv2.boxFilter(values, -1, window, normalize=False, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(summed)

"""Dense optical flow between frames of real clips, and where it can be trusted."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from training.textures import Image


def flow_places(first: Image, second: Image) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """For each pixel of `second` its place in `first`, and whether the way back agrees.

    Returns:
        The places (x, y) in pixels of `first`, float32 (h, w, 2), and what is known, bool (h, w).
    """
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    a, b = (cv2.pyrDown(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)) for image in (first, second))
    to_first, to_second = flow.calc(b, a, None), flow.calc(a, b, None)
    height, width = b.shape
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    place = np.dstack([x, y]) + to_first
    back = cv2.remap(to_second, place[..., 0], place[..., 1], cv2.INTER_LINEAR)
    error = np.linalg.norm(to_first + back, axis=-1)
    known = error < 0.8 + 0.03 * np.linalg.norm(to_first, axis=-1)
    known &= (place >= 0).all(-1) & (place < (width, height)).all(-1)
    full_wh = first.shape[1::-1]
    known = cv2.resize(known.astype(np.uint8), full_wh, interpolation=cv2.INTER_NEAREST) > 0
    return cv2.resize(2 * place, full_wh), known


def own_motion(place_hw2: NDArray[np.float32]) -> NDArray[np.float32]:
    """How far each pixel has come beyond what most of the picture has: (x, y), (h, w, 2).

    Args:
        place_hw2: its place in the frame before.
    """
    height, width = place_hw2.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    motion = np.dstack([x, y]) - place_hw2
    return np.asarray(motion - np.median(motion, axis=(0, 1)), np.float32)

"""How well two outlines agree: the boundary measure F of the DAVIS benchmarks.

Definition: Perazzi et al., "A Benchmark Dataset and Evaluation Methodology for Video Object
Segmentation", CVPR 2016, section 5: the harmonic mean of the precision and the recall of the
predicted outline's pixels, where a pixel counts when an outline pixel of the other mask lies
within a small distance.
"""

from __future__ import annotations

from math import ceil, hypot

import cv2
import numpy as np

from tracker.masks import BoolMask, mask_box

BOUNDARY_TOLERANCE = 0.008
"""How far apart matching outline pixels may lie, as a share of the image's diagonal."""


def boundary_similarity(prediction_hw: BoolMask, truth_hw: BoolMask) -> float:
    """F: how well two masks' outlines agree, 0 to 1.

    An outline pixel matches when the other outline passes within `BOUNDARY_TOLERANCE` of the
    image's diagonal, rounded up to pixels. 1 when both outlines are empty, 0 when one is.
    """
    radius = ceil(BOUNDARY_TOLERANCE * hypot(*truth_hw.shape))
    window = _window(prediction_hw | truth_hw)
    prediction, truth = outline(prediction_hw[window]), outline(truth_hw[window])
    predicted_count, true_count = np.count_nonzero(prediction), np.count_nonzero(truth)
    if predicted_count == 0 or true_count == 0:
        return float(predicted_count == true_count)
    precision = np.count_nonzero(prediction & _dilate(truth, radius)) / predicted_count
    recall = np.count_nonzero(truth & _dilate(prediction, radius)) / true_count
    return 0.0 if precision + recall == 0 else 2 * precision * recall / (precision + recall)


def outline(mask_hw: BoolMask) -> BoolMask:
    """The pixels whose right, lower or lower right neighbour lies on the other side.

    One pixel wide, and on the pixel grid of the mask: what lies beyond the image counts as the
    same as the image's edge, so a mask that fills the image has no outline.
    """
    wider = np.pad(mask_hw, ((0, 1), (0, 1)), mode="edge")
    return (mask_hw ^ wider[:-1, 1:]) | (mask_hw ^ wider[1:, :-1]) | (mask_hw ^ wider[1:, 1:])


def _window(mask_hw: BoolMask) -> tuple[slice, slice]:
    """The rows and columns of a mask, and one more on each side: its outline is nowhere else."""
    x1, y1, x2, y2 = (int(n) for n in mask_box(mask_hw) or (0, 0, 0, 0))
    return slice(max(y1 - 1, 0), y2 + 1), slice(max(x1 - 1, 0), x2 + 1)


def _dilate(mask_hw: BoolMask, radius: int) -> BoolMask:
    """Every pixel whose distance to the mask is at most `radius`, pixel centre to centre."""
    offsets = np.arange(-radius, radius + 1)
    disk = (offsets[:, None] ** 2 + offsets[None, :] ** 2 <= radius**2).astype(np.uint8)
    return cv2.dilate(mask_hw.view(np.uint8), disk, borderValue=0).astype(bool)

"""Masks as numpy arrays: run-length coding, boxes, areas, overlap, holes. No torch.

A mask is a bool array `hw` at video resolution; an index mask is an integer array `hw` in which
0 is background and every other value an object id.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

BoolMask = NDArray[np.bool_]
Box = tuple[float, float, float, float]


def encode_rle(mask_hw: BoolMask) -> dict[str, Any]:
    """COCO's compressed run-length code: `{"size": [h, w], "counts": str}` (column-major)."""
    upright_hw = np.asarray(mask_hw, dtype=bool).view(np.uint8)
    rle = coco_mask.encode(cv2.transpose(upright_hw).T)  # column-major, faster than numpy turns it
    return {"size": [int(n) for n in rle["size"]], "counts": rle["counts"].decode("ascii")}


def decode_rle(rle: Mapping[str, Any]) -> BoolMask:
    """Inverse of `encode_rle`. Raises ValueError when `rle` is not such a code."""
    try:
        size, counts = [int(n) for n in rle["size"]], rle["counts"]
        raw = counts.encode("ascii") if isinstance(counts, str) else counts
        return np.asarray(coco_mask.decode({"size": size, "counts": raw}), dtype=bool)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"not a run-length coded mask: {error}") from error


def mask_box(mask_hw: BoolMask) -> Box | None:
    """The tight box `xyxy` in pixels; x2 and y2 are exclusive. None for an empty mask."""
    rows, columns = np.flatnonzero(mask_hw.any(axis=1)), np.flatnonzero(mask_hw.any(axis=0))
    if rows.size == 0:
        return None
    return (float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))


def mask_centre(mask_hw: BoolMask) -> tuple[float, float] | None:
    """The centre of mass `xy` in pixels (pixel centres at .5). None for an empty mask."""
    box = mask_box(mask_hw)
    if box is None:
        return None
    x1, y1, x2, y2 = (int(v) for v in box)
    inside_hw = mask_hw[y1:y2, x1:x2]
    by_row, by_column = (np.count_nonzero(inside_hw, axis=axis) for axis in (1, 0))
    area_px = by_row.sum()
    x = by_column @ np.arange(x1, x2) / area_px
    y = by_row @ np.arange(y1, y2) / area_px
    return (float(x + 0.5), float(y + 0.5))


def iou(a_hw: BoolMask, b_hw: BoolMask) -> float:
    """Intersection over union; 1.0 when both masks are empty (DAVIS convention)."""
    union = np.count_nonzero(a_hw | b_hw)
    return 1.0 if union == 0 else np.count_nonzero(a_hw & b_hw) / union


def box_iou(a: Box, b: Box) -> float:
    """Intersection over union of two `xyxy` boxes; 0.0 when both are empty."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    inter = max(width, 0.0) * max(height, 0.0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inter
    return inter / union if union > 0 else 0.0


def small_holes(mask_hw: BoolMask, max_area_px: int) -> BoolMask:
    """The background regions (8-connected) of at most `max_area_px` pixels, as a mask."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        np.ascontiguousarray(~mask_hw, dtype=np.uint8), connectivity=8
    )
    small = stats[:, cv2.CC_STAT_AREA] <= max_area_px
    small[0] = False  # label 0 is the mask itself
    if count == 1 or not small.any():
        return np.zeros_like(mask_hw)
    return np.asarray(small[labels])


def to_index_mask(masks: Iterable[tuple[int, BoolMask]], height: int, width: int) -> NDArray:
    """Paint `(object id, mask)` pairs into one index mask; a later object covers an earlier one.

    Returns uint8, or uint16 when an id exceeds 255.
    """
    pairs = list(masks)
    dtype = np.uint8 if max((i for i, _ in pairs), default=0) <= 255 else np.uint16
    index_hw = np.zeros((height, width), dtype=dtype)
    for object_id, mask_hw in pairs:
        index_hw[mask_hw] = object_id
    return index_hw


def from_index_mask(index_hw: NDArray) -> dict[int, BoolMask]:
    """Split an index mask into `{object id: mask}`, ids ascending, background left out."""
    return {int(i): index_hw == i for i in np.unique(index_hw) if i != 0}

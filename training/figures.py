"""Figures: parts of photographs that stand out from what surrounds them, found without labels.

A cut-out pasted before something has an edge that no photograph has. What a box means in a real
picture - a thing whose colours do not go on outside of it - is learned from masks that GrabCut
(Rother et al., SIGGRAPH 2004) finds in random boxes. Most boxes hold no such thing: only what the
box fits well, what is found again from moved boxes, and what ends at edges of the image is kept.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from training.textures import Image, Rng

FIGURE_PX = 128  # longer side of the images on which figures are looked for
_SIDES = (0.15, 0.85)  # of a box, in sides of the image
_GROWTHS, _GROWTH = 4, 0.25  # how often, and by how much, a side moves that cuts the figure
_CUT = 0.3  # of a side of the box lies on the figure that it cuts
_FOUND_AGAIN = 0.8  # IoU of the masks from a box and from a moved one
_LEAST_PX = 10
_FILLED = (0.25, 0.9)  # of its box
_OUTLINED = 0.6  # of the outline lies on edges of the image
_SAME = 0.7  # IoU from which two figures are one

Mask = NDArray[np.bool_]
Box = tuple[int, int, int, int]  # x, y, width, height in pixels


def figures(rng: Rng, image: Image, *, tries: int, most: int) -> list[Mask]:
    """Up to `most` different figures of an RGB image, each bool (h, w) at the image's size."""
    factor = FIGURE_PX / max(image.shape[:2])
    small = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(small, cv2.COLOR_RGB2LAB)
    edges = cv2.morphologyEx(lab, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)).max(-1)
    found: list[Mask] = []
    for _ in range(tries):
        mask = _figure_in(rng, lab, edges, _random_box(rng, small.shape))
        if mask is not None and all(_iou(mask, other) < _SAME for other in found):
            found.append(mask)
        if len(found) == most:
            break
    size = image.shape[1], image.shape[0]
    return [cv2.resize(mask.astype(np.float32), size) > 0.5 for mask in found]


def _random_box(rng: Rng, shape: tuple[int, ...]) -> Box:
    height, width = shape[:2]
    w, h = (int(side * rng.uniform(*_SIDES)) for side in (width, height))
    return int(rng.integers(width - w)), int(rng.integers(height - h)), w, h


def _figure_in(rng: Rng, lab: Image, edges_hw: NDArray[np.uint8], box: Box) -> Mask | None:
    """What stands out in the box, or None; the box moves out where it cuts what it holds."""
    for _ in range(_GROWTHS):
        first = _grab(lab, box)
        if first is None:
            return None
        cut = _cut_sides(first, tight := cv2.boundingRect(first))
        if not any(cut):
            break
        box = _extended(tight, [_GROWTH if side else 0.03 for side in cut], lab.shape)
    else:
        return None
    mask = _grab(lab, _extended(tight, rng.uniform(0.02, 0.12, 4), lab.shape))
    if mask is None or _iou(mask > 0, first > 0) < _FOUND_AGAIN:
        return None
    _, _, w, h = cv2.boundingRect(mask)
    if not _FILLED[0] < mask.sum() / (w * h) < _FILLED[1] or min(w, h) < _LEAST_PX:
        return None
    return mask > 0 if _is_outlined(mask, edges_hw) else None


def _grab(lab: Image, box: Box) -> NDArray[np.uint8] | None:
    """The largest piece of what GrabCut finds in the box, holes filled: uint8 (h, w) 0 or 1."""
    mask = np.zeros(lab.shape[:2], np.uint8)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)
    try:
        cv2.grabCut(lab, mask, box, *models, 3, cv2.GC_INIT_WITH_RECT)
    except cv2.error:  # a side of the box has too few colours
        return None
    outlines, _ = cv2.findContours(mask & 1, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not outlines:
        return None
    largest = max(outlines, key=cv2.contourArea)
    return cv2.drawContours(np.zeros_like(mask), [largest], -1, 1, cv2.FILLED)


def _cut_sides(mask: NDArray[np.uint8], box: Box) -> list[bool]:
    """Which sides of the box (left, top, right, bottom), inside the image, cut through the mask."""
    x, y, w, h = box
    sides = [mask[y : y + h, x], mask[y, x : x + w]]
    sides += [mask[y : y + h, x + w - 1], mask[y + h - 1, x : x + w]]
    inside = [x > 0, y > 0, x + w < mask.shape[1], y + h < mask.shape[0]]
    return [bool(i and side.mean() > _CUT) for side, i in zip(sides, inside, strict=True)]


def _extended(box: Box, by: Sequence[float], shape: tuple[int, ...]) -> Box:
    """The box with its sides (left, top, right, bottom) moved out, in shares of its own sides."""
    x, y, w, h = box
    left, top, right, bottom = by
    x1, y1 = max(int(x - left * w - 1), 0), max(int(y - top * h - 1), 0)
    x2, y2 = min(int(x + w + right * w + 1), shape[1]), min(int(y + h + bottom * h + 1), shape[0])
    return x1, y1, x2 - x1, y2 - y1


def _is_outlined(mask: NDArray[np.uint8], edges_hw: NDArray[np.uint8]) -> bool:
    padded = np.pad(mask, 1, "edge")  # the image's own border is no outline
    ring = cv2.morphologyEx(padded, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))[1:-1, 1:-1]
    strong = max(float(np.quantile(edges_hw, 0.6)), 8.0)
    return bool((edges_hw[ring > 0] > strong).mean() > _OUTLINED)


def _iou(a: Mask, b: Mask) -> float:
    return float((a & b).sum() / max((a | b).sum(), 1))

"""Masks as polygons that rasterise back to the same pixels, holes and several parts included.

Readers of polygons disagree on where a pixel is. Where it is an area (COCO), outlines run along
the edges of pixels; where polygons are filled with their border (OpenCV, Pillow, and with them
YOLO trainers and labelme), they run through the centres of the outermost pixels.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.masks import BoolMask

Polygon = NDArray[np.int64]


def edge_polygons(mask_hw: BoolMask) -> list[Polygon]:
    """One polygon per part, along pixel edges: pixel (x, y) is the square from there to + 1.

    Returns:
        `xy` of shape (n, 2), n at least 4; a part with holes is cut open, see `_cut_open`.
    """
    # At twice the size, a corner of the outline lies on the first (2x) or second (2x + 1) half of
    # a pixel, and so tells which of the pixel's two edges is meant.
    twice_hw = np.repeat(np.repeat(mask_hw, 2, axis=0), 2, axis=1)
    parts = _parts(twice_hw, cv2.CHAIN_APPROX_SIMPLE)
    return [_cut_open([(outline + 1) // 2 for outline in part]) for part in parts]


def centre_polygons(mask_hw: BoolMask) -> list[Polygon]:
    """One polygon per part, through the centres of its outermost pixels.

    Returns:
        `xy` of shape (n, 2) as pixel indices, n at least 3; one pixel is three times its place.
    """
    polygons = [_cut_open(part) for part in _parts(mask_hw, cv2.CHAIN_APPROX_SIMPLE)]
    return [np.resize(polygon, (max(3, len(polygon)), 2)) for polygon in polygons]


def join_parts(polygons: list[Polygon], most_px: float) -> list[Polygon]:
    """Parts as one polygon, by bridges that go forth and back on one line.

    Readers that fill a polygon with its border draw the bridges too, one pixel wide. So the nearest
    parts are joined first, and those that would need more than `most_px` pixels of bridges in all
    stay polygons of their own.
    """
    joined, *rest = sorted(polygons, key=_spread, reverse=True)
    if not rest:
        return [joined]
    gaps, left_px = _Gaps(rest, joined), most_px
    waiting = dict(enumerate(rest))
    while waiting:
        length_px, corner_xy, number, j = gaps.smallest()
        if length_px > left_px:
            break
        left_px -= length_px
        part = waiting.pop(number)
        i = int(np.flatnonzero((joined == corner_xy).all(axis=1))[0])
        joined = _inserted(joined, part, i, j)
        gaps.close(number, part)
    return [joined, *waiting.values()]


class _Gaps:
    """From every corner of the parts that wait, the way to the nearest corner of what is joined.

    It is kept from part to part, as in Prim's algorithm: a mask may have hundreds of them.
    """

    def __init__(self, parts: list[Polygon], joined: Polygon) -> None:
        self._corners_n2 = np.concatenate(parts)
        self._owners_n = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        self._lengths_n = np.full(len(self._corners_n2), np.inf)
        self._ends_n2 = np.zeros_like(self._corners_n2)
        self._reach(joined)

    def smallest(self) -> tuple[float, Polygon, int, int]:
        """Its length, the corner of what is joined, the part, and which of the part's corners."""
        n = int(np.argmin(self._lengths_n))
        number = int(self._owners_n[n])
        j = n - int(np.searchsorted(self._owners_n, number))
        return float(self._lengths_n[n]), self._ends_n2[n], number, j

    def close(self, number: int, part: Polygon) -> None:
        """That part is joined."""
        kept_n = self._owners_n != number
        self._corners_n2, self._owners_n = self._corners_n2[kept_n], self._owners_n[kept_n]
        self._lengths_n, self._ends_n2 = self._lengths_n[kept_n], self._ends_n2[kept_n]
        self._reach(part)

    def _reach(self, polygon: Polygon) -> None:
        lengths_n, places_n = _nearest(polygon, self._corners_n2)
        shorter_n = lengths_n < self._lengths_n
        self._lengths_n[shorter_n] = lengths_n[shorter_n]
        self._ends_n2[shorter_n] = polygon[places_n[shorter_n]]


def _parts(mask_hw: BoolMask, chain: int) -> Iterator[list[Polygon]]:
    """Per 8-connected part, its outer border and the borders of its holes."""
    borders, tree = cv2.findContours(mask_hw.astype(np.uint8), cv2.RETR_CCOMP, chain)
    for place, border in enumerate(borders):
        *_, child, parent = tree[0][place]
        if parent >= 0:
            continue
        part = [border[:, 0].astype(np.int64)]
        while child >= 0:
            part.append(borders[child][:, 0].astype(np.int64))
            child = tree[0][child][0]
        yield part


def _cut_open(part: list[Polygon]) -> Polygon:
    """An outer border and its holes as one polygon: each hole hangs on a bridge without width."""
    polygon, *holes = part
    for hole in holes:
        i, j = _bridge(polygon, hole)
        polygon = _inserted(polygon, hole, i, j)
    return polygon


def _bridge(a: Polygon, b: Polygon) -> tuple[int, int]:
    """The shortest way between corners of two polygons: their two places."""
    lengths_n, places_n = _nearest(a, b)
    j = int(np.argmin(lengths_n))
    return int(places_n[j]), j


def _nearest(polygon: Polygon, corners_n2: Polygon) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """For each corner the distance to the polygon's nearest one, and which that is."""
    from scipy.spatial import KDTree  # needed by few masks

    lengths_n, places_n = KDTree(polygon).query(corners_n2)
    return lengths_n, places_n


def _inserted(a: Polygon, b: Polygon, i: int, j: int) -> Polygon:
    """Polygon `a` up to corner i, around `b` from corner j and back to it, and on from corner i."""
    return np.concatenate([a[: i + 1], np.roll(b, -j, axis=0), b[j : j + 1], a[i:]])


def _spread(polygon: Polygon) -> int:
    return int(np.prod(np.ptp(polygon, axis=0) + 1))

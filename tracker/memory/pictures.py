"""Pictures of a reference memory: an object marked in its image, and matches between two images."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.masks import BoolMask
from tracker.memory.retrieval import MATCH_DISTANCE, PatchMatches

Image = NDArray[np.uint8]

MARK = (255, 64, 64)
GAP = 8  # px between two images
HEIGHT = 480  # px, of both images in a match picture
LINES = 60  # most lines in a match picture; more hide one another


def mark_object(image_hwc: Image, mask_hw: BoolMask) -> Image:
    """The image with the object tinted and outlined. RGB uint8, a copy."""
    picture = image_hwc.copy()
    tinted = 0.55 * picture[mask_hw] + 0.45 * np.array(MARK)
    picture[mask_hw] = tinted.astype(np.uint8)
    outlines, _ = cv2.findContours(
        mask_hw.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    cv2.drawContours(picture, outlines, -1, MARK, thickness=max(1, round(max(mask_hw.shape) / 400)))
    return picture


def draw_matches(
    reference_hwc: Image, mask_hw: BoolMask, query_hwc: Image, matches: PatchMatches
) -> Image:
    """Reference left, searched image right, lines between matched patches of the object.

    Drawn are the closest mutual matches inside the mask under the distance threshold, at most 60:
    green for distance 0 to red for the threshold.
    """
    left, right = _scaled(mark_object(reference_hwc, mask_hw)), _scaled(query_hwc)
    canvas = np.full((HEIGHT, left.shape[1] + GAP + right.shape[1], 3), 255, np.uint8)
    canvas[:, : left.shape[1]], canvas[:, -right.shape[1] :] = left, right
    starts = _centres(matches.reference_cells_n2, matches.reference_grid_hw, left)
    ends = _centres(matches.query_cells_n2, matches.query_grid_hw, right)
    ends[:, 0] += left.shape[1] + GAP
    drawn = matches.inside_n & matches.mutual_n & (matches.distances_n < MATCH_DISTANCE)
    closest_first = sorted(np.flatnonzero(drawn), key=lambda n: matches.distances_n[n])
    for n in reversed(closest_first[:LINES]):  # the closest on top
        colour = _colour(float(matches.distances_n[n]))
        start, end = tuple(map(int, starts[n])), tuple(map(int, ends[n]))
        cv2.line(canvas, start, end, colour, 1, cv2.LINE_AA)
        for point in (start, end):
            cv2.circle(canvas, point, 3, colour, -1, cv2.LINE_AA)
    return canvas


def _scaled(image_hwc: Image) -> Image:
    width = max(1, round(image_hwc.shape[1] * HEIGHT / image_hwc.shape[0]))
    method = cv2.INTER_AREA if image_hwc.shape[0] > HEIGHT else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image_hwc, (width, HEIGHT), interpolation=method), np.uint8)


def _centres(
    cells_n2: NDArray[np.int64], grid_hw: tuple[int, int], image_hwc: Image
) -> NDArray[np.float64]:
    """Patch centres `xy` in pixels of the image."""
    share_yx = (cells_n2 + 0.5) / np.array(grid_hw)
    return share_yx[:, ::-1] * np.array([image_hwc.shape[1], image_hwc.shape[0]])


def _colour(distance: float) -> tuple[int, int, int]:
    """RGB from green (0) over yellow to red (the threshold)."""
    share = min(distance / MATCH_DISTANCE, 1.0)
    return (round(255 * min(1, 2 * share)), round(220 * min(1, 2 - 2 * share)), 0)

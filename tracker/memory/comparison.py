"""One reference held against one image: which patches match, and where the object seems to be.

A single nearest neighbour is noisy, above all with a small feature model. The likeness to the
object, less a share of the likeness to its surroundings, smoothed over neighbouring patches, shows
where the object lies. Deciding by contrast is an idea of GF-SAM and Memory-SAM.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.masks import BoolMask
from tracker.memory.retrieval import PatchMatches, inside_cells, match_patches
from tracker.types import ImageFeatures

BEST = 3  # reference patches whose mean cosine is the likeness: one alone may match by chance
SURROUNDINGS = 0.5  # weight of the background; in another place it says less than the object does
SMOOTHING = 0.8  # standard deviation in patches
STANDS_OUT = 0.5  # share of the greatest contrast


@dataclass(frozen=True, eq=False)
class Comparison:
    """What one reference says about one image. Arrays `hw` are on the image's patch grid.

    Attributes:
        query: features of the image.
        object_c: the mean of the object's patch features in the reference, L2-normalised.
        matches: the nearest patch of the image for every patch of the reference.
        cosines_nhw: float32, of each of the object's n reference patches with each patch.
        foreground_hw: float32, the mean of the 3 greatest of them.
        closer_hw: bool, whether a patch's nearest reference patch lies inside the mask.
        contrast_hw: float32, foreground less half of the same for the reference patches outside
            the mask, smoothed, and shifted so that the median patch has 0.
        parts_hw: int32, the connected parts that stand out, numbered from 1 where the contrast
            reaches half of its greatest value, 0 elsewhere. There is at least one.
    """

    query: ImageFeatures
    object_c: NDArray[np.float32]
    matches: PatchMatches
    cosines_nhw: NDArray[np.float32]
    foreground_hw: NDArray[np.float32]
    closer_hw: BoolMask
    contrast_hw: NDArray[np.float32]
    parts_hw: NDArray[np.int32]


def compare(
    reference: ImageFeatures,
    mask_hw: BoolMask,
    query: ImageFeatures,
    free_hw: BoolMask | None = None,
) -> Comparison:
    """Hold a reference against an image.

    Args:
        reference: features of the reference's image.
        mask_hw: bool, the reference's object, at its image's resolution.
        query: features of the searched image; same feature model.
        free_hw: bool on the query's grid, where the object may be; None for everywhere.
    """
    inside = inside_cells(mask_hw, reference.grid_hw)
    inner, outer = reference.patches_hwc[inside], reference.patches_hwc[~inside]
    cosines, others = _cosines(inner, query), _cosines(outer, query)
    # A mask that fills its image leaves no surroundings to subtract.
    foreground, background = _best(cosines), _best(others) if len(outer) else np.float32(0)
    contrast: NDArray[Any] = cv2.GaussianBlur(
        foreground - SURROUNDINGS * background, (0, 0), SMOOTHING, borderType=cv2.BORDER_REPLICATE
    )
    contrast = contrast - np.median(contrast)
    if free_hw is not None:
        contrast[~free_hw] = contrast.min()
        cosines[:, ~free_hw] = -1
    return Comparison(
        query=query,
        object_c=unit(inner.mean(axis=0)),
        matches=match_patches(reference, mask_hw, query, free_hw),
        cosines_nhw=cosines,
        foreground_hw=foreground,
        closer_hw=cosines.max(axis=0) > others.max(axis=0, initial=-1),
        contrast_hw=contrast,
        parts_hw=standing_out(contrast),
    )


def standing_out(contrast_hw: NDArray[np.float32]) -> NDArray[np.int32]:
    """Number the connected parts (8-connected) from half of the greatest contrast, from 1."""
    greatest = float(contrast_hw.max())
    above = contrast_hw >= min(greatest, STANDS_OUT * max(greatest, 0.0))
    return np.asarray(cv2.connectedComponents(above.astype(np.uint8), connectivity=8)[1])


def unit(vector_c: NDArray[np.float32]) -> NDArray[np.float32]:
    """The vector with length 1; a zero vector stays."""
    return np.asarray(vector_c / max(float(np.linalg.norm(vector_c)), 1e-12))


def _cosines(patches_nc: NDArray[np.float32], query: ImageFeatures) -> NDArray[np.float32]:
    return np.tensordot(patches_nc, query.patches_hwc, axes=(1, 2))


def _best(cosines_nhw: NDArray[np.float32]) -> NDArray[np.float32]:
    best = min(BEST, len(cosines_nhw))
    return np.partition(cosines_nhw, -best, axis=0)[-best:].mean(axis=0)

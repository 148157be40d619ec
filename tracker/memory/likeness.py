"""How much each patch of an image looks like a reference's object, against what surrounds it.

A single nearest neighbour is noisy, above all with a small feature model. The contrast between the
likeness to the object and the likeness to its surroundings, smoothed over neighbouring patches,
shows where the object lies; its connected patches seed points and boxes. The idea of deciding by
contrast is that of GF-SAM and Memory-SAM.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.masks import BoolMask
from tracker.memory.retrieval import inside_cells
from tracker.types import ImageFeatures

BEST = 3  # reference patches whose mean cosine is the likeness: one alone may match by chance
SMOOTHING = 0.8  # standard deviation in patches


@dataclass(frozen=True, eq=False)
class Likeness:
    """Maps on the patch grid of the searched image, float32.

    Attributes:
        foreground_hw: mean cosine of the 3 most similar reference patches inside the mask.
        background_hw: the same for the reference patches outside the mask.
        contrast_hw: their difference, smoothed; positive where the object is more likely.
    """

    foreground_hw: NDArray[np.float32]
    background_hw: NDArray[np.float32]
    contrast_hw: NDArray[np.float32]


def likeness(
    reference: ImageFeatures,
    mask_hw: BoolMask,
    query: ImageFeatures,
    free_hw: BoolMask | None = None,
) -> Likeness:
    """Compare every patch of an image with both sides of a reference.

    Args:
        reference: features of the reference's image.
        mask_hw: bool, the reference's object, at its image's resolution.
        query: features of the searched image; same feature model.
    """
    inside = inside_cells(mask_hw, reference.grid_hw)
    foreground = _best_cosines(query, reference.patches_hwc[inside])
    # A mask that fills the image leaves no surroundings: then its own average is the measure.
    surroundings = reference.patches_hwc[~inside]
    if len(surroundings):
        background = _best_cosines(query, surroundings)
    else:
        background = np.full_like(foreground, foreground.mean())
    contrast = cv2.GaussianBlur(
        foreground - background, (0, 0), SMOOTHING, borderType=cv2.BORDER_REPLICATE
    )
    return Likeness(foreground, background, np.asarray(contrast))


def _best_cosines(query: ImageFeatures, patches_nc: NDArray[np.float32]) -> NDArray[np.float32]:
    cosines = query.patches_hwc @ patches_nc.T
    best = min(BEST, len(patches_nc))
    return np.partition(cosines, -best, axis=2)[..., -best:].mean(axis=2)

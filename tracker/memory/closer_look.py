"""A second look at what was found, from nearer.

On a whole image a patch may be as large as a part of the object, and so is a cell of the decoder's
grid: what stands beside the object is then taken for a part of it. In a view that the object
nearly fills both are finer. There reference and image are compared again, and SAM2 is asked.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tracker.masks import BoolMask, iou
from tracker.memory.candidates import SAME_OBJECT_IOU, Candidate, answer, measure, sharpened
from tracker.memory.comparison import compare
from tracker.memory.proposals import Kind, propose
from tracker.memory.retrieval import free_cells
from tracker.models.dinov2 import FeatureExtractor
from tracker.models.sam2 import ImagePrompter
from tracker.views import in_view, view_around

ROOM = 1.5  # a view is so many times as wide or as high as the object's box


def look_closer(
    image_hwc: NDArray[np.uint8],
    found: Candidate,
    reference: tuple[NDArray[np.uint8], BoolMask],
    taken: list[BoolMask],
    extractor: FeatureExtractor,
    prompter: ImagePrompter,
    kinds: tuple[Kind, ...],
    seed: int = 0,
) -> Candidate | None:
    """What agrees better with the reference from nearer than what was found; None if nothing does.

    Args:
        image_hwc: RGB uint8.
        found: on the whole image; its mask has a pixel.
        reference: the image that it was found with, RGB uint8, and the object there.
        taken: masks of other objects, bool at the image's resolution.
        extractor: the feature model.
        prompter: SAM2's image decoder; it is left with the view that was looked at.
        kinds, seed: as `propose`.
    """
    picture_hwc, object_hw = reference
    view, around = view_around(found.mask_hw, ROOM), view_around(object_hw, ROOM)
    seen = extractor.extract(in_view(image_hwc, view))
    compared = compare(
        extractor.extract(in_view(picture_hwc, around)),
        in_view(object_hw, around),
        seen,
        free_cells([in_view(mask_hw, view) for mask_hw in taken], seen.grid_hw),
    )
    x1, y1, x2, y2 = view
    proposals = propose(compared, (y2 - y1, x2 - x1), kinds, seed)
    prompter.set_image(image_hwc, view)
    # A prompt has one answer when it is tracked: the decoder's best.
    nearer = [
        answer(each.seen_in(view), found.reference_id, compared, prompter, fitted=False)[0]
        for each in proposals
    ]
    # Which of the things there it is was decided on the whole image, where all can be seen.
    nearer = [each for each in nearer if iou(each.mask_hw, found.mask_hw) > SAME_OBJECT_IOU]
    if not nearer:
        return None
    best = sharpened(max(nearer, key=lambda each: each.agreement), compared, prompter)
    before = measure(in_view(found.mask_hw, view), compared)
    return best if best.agreement > replace(found, measures=before).agreement else None

"""Masklets of real things: what a promptable network sees in a clip, asked anew on every frame.

Optical flow says where the thing should be on the next frame, the network says what is there. Where
the two disagree the thing is given up, so that what is left shows real motion, and its outline.
"""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.masks import BoolMask, iou, mask_box
from training.flow import flow_places, own_motion
from training.promptable import CORNER, PIXEL, Promptable, sound_mask, things_in
from training.salient import Saliency
from training.textures import Image, Rng

SURE = 0.75  # least predicted IoU of a frame's mask
SAME_THING = 0.45  # least IoU of a frame's mask with what flow carried there: limbs outrun it
MOVING = 0.012  # of the width, to the next frame: what comes farther by itself stands out
SMALLEST_PX = 60


class ThingFollower:
    """Follows what a promptable network sees on the first frame of a clip."""

    def __init__(self, network: Promptable, saliency: Saliency) -> None:
        self._network, self._saliency = network, saliency

    def __call__(self, rng: Rng, shown: list[Image], things: int) -> list[NDArray[np.bool_]]:
        """Up to `things` of the first frame, on every frame: each bool (t, h, w).

        Those that move by themselves come first.
        """
        places = [flow_places(before, image)[0] for before, image in pairwise(shown)]
        backwards_hw2, _ = flow_places(shown[1], shown[0])
        speed_hw = np.linalg.norm(own_motion(backwards_hw2), axis=-1)
        first = shown[0][..., ::-1]
        maps = [speed_hw / (2 * MOVING * first.shape[1]), self._saliency(first)]
        masklets = [[mask_hw > 0] for mask_hw in things_in(first, self._network, maps, rng)]
        for image, place_hw2 in zip(shown[1:], places, strict=True):
            if not masklets:
                break
            self._network.look(image[..., ::-1])
            further = [self._again(masks[-1], place_hw2) for masks in masklets]
            pairs = zip(masklets, further, strict=True)
            masklets = [[*masks, mask_hw] for masks, mask_hw in pairs if mask_hw is not None]
        masklets.sort(key=lambda masks: -speed_hw[masks[0]].mean())
        return [np.stack(masks) for masks in masklets[:things]]

    def _again(self, mask_hw: BoolMask, place_hw2: NDArray[np.float32]) -> BoolMask | None:
        """The thing on the next frame, or None where flow and network disagree about it."""
        x, y = place_hw2[..., 0], place_hw2[..., 1]
        carried_hw = cv2.remap(mask_hw.astype(np.float32), x, y, cv2.INTER_LINEAR) > 0.5
        if carried_hw.sum() < SMALLEST_PX:
            return None
        x1, y1, x2, y2 = mask_box(carried_hw)
        points = [_inmost(carried_hw), (x1, y1), (x2, y2)]
        logits, predicted = self._network.answer(points, (PIXEL[0], *CORNER))
        seen_hw = sound_mask(logits, mask_hw.shape) if predicted >= SURE else None
        agreed = seen_hw is not None and iou(seen_hw, carried_hw) >= SAME_THING
        return seen_hw if agreed else None


def _inmost(mask_hw: BoolMask) -> tuple[float, float]:
    """The pixel (x, y) that is farthest from the outline."""
    depth_hw = cv2.distanceTransform(np.pad(mask_hw.astype(np.uint8), 1), cv2.DIST_L2, 5)
    y, x = np.unravel_index(depth_hw[1:-1, 1:-1].argmax(), mask_hw.shape)
    return float(x), float(y)

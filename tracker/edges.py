"""Masks that end where the picture does: what a model is unsure of is decided by the picture.

A SAM2 model decides on a grid of a quarter of its image size: 72 x 72 cells for an image size of
288 px, each many pixels of the video. Where it is not sure, the colours of the object and of its
surroundings have a say, and a guided filter carries what both say to the edges of the picture.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.colour_models import Mixture, learn_colours
from tracker.guided_filter import Map, guided
from tracker.masks import BoolMask, Box, iou, mask_box
from tracker.prompted_colours import Colours, Lab, colour_bins, contrast

SURE = 0.999  # probability from which the model is believed, and below 1 minus which as well
REACH = 0.2  # of the mask's width and height: so far outside its box the object may reach
SURROUNDINGS = 0.3  # as much again beyond that shows what the background looks like
FINE_PX = 320  # longer side of the picture whose edges count,
GUIDE_PX = 128  # of the one on which they are found,
COLOURS_PX = 64  # and of the one from which colours are learned: that is what takes time
COLOURS_COUNT = 2.0  # log odds of the colours count so much beside the model's,
COLOURS_MOST = 2.0  # and are held to be no greater than this
PROMPTED_COUNT = 12.0  # so much the colours of prompts that tell it fully from its surroundings
WINDOW = 5  # radius of the filter's windows, in pixels of the guide
FAINT = 10.0  # variance of CIELAB (OpenCV's, 0 to 255) in a window that holds no edge
BOX_ROOM = 0.03  # of a box's width and height: by so much a drawn box may miss the object's end
BEYOND = -10.0  # logit where a box says that the object is not
LEAST_PX = 20  # smaller masks have no colours to learn
LEAST_IOU = 0.5  # a fitted mask that agrees less with the model's has left the object


def fit_all_to_edges(
    image_hwc: NDArray[np.uint8],
    logits_nhw: NDArray[np.float32],
    colours_n: Sequence[Colours | None],
) -> list[BoolMask]:
    """The masks of several objects, each fitted; where one is, no other grows.

    They are fitted side by side: each is a function of its arguments alone, and neither OpenCV nor
    numpy's arithmetic needs the GIL.

    Args:
        image_hwc: RGB uint8.
        logits_nhw: of the model, one map for each object.
        colours_n: of each object, where prompts have shown them.
    """
    masks_nhw = logits_nhw > 0
    count_hw = masks_nhw.sum(axis=0)
    taken_nhw = [count_hw > mask_hw for mask_hw in masks_nhw]
    each = (repeat(image_hwc, len(masks_nhw)), logits_nhw, taken_nhw, colours_n)
    if len(masks_nhw) < 2:
        return list(map(fit_to_edges, *each))
    with ThreadPoolExecutor(min(len(masks_nhw), os.cpu_count() or 1)) as pool:
        return list(pool.map(fit_to_edges, *each))


def fit_to_edges(
    image_hwc: NDArray[np.uint8],
    logits_hw: NDArray[np.float32],
    closed_hw: BoolMask | None = None,
    colours: Colours | None = None,
) -> BoolMask:
    """The mask of `logits_hw`, fitted to the edges of the picture.

    A function of its arguments alone. A mask that is too small, leaves no background, or would
    become quite another one stays as the model has it.

    Args:
        image_hwc: RGB uint8.
        logits_hw: of the model, at the image's resolution; the object is where they are above 0.
        closed_hw: where the object does not grow: what the model does not give it there, it does
            not get.
        colours: of the object, where prompts have shown them.

    Returns:
        bool, at the image's resolution.
    """
    mask_hw = np.asarray(logits_hw > 0)
    box = mask_box(mask_hw)
    if box is None or np.count_nonzero(mask_hw) < LEAST_PX:
        return mask_hw
    size_hw = mask_hw.shape[0], mask_hw.shape[1]
    seen = _grown(box, REACH + SURROUNDINGS, size_hw)
    clipped_hw = np.clip(logits_hw[seen], -30, 30)
    probability_hw = np.asarray(1 / (1 + np.exp(-clipped_hw)), np.float32)
    if closed_hw is not None:
        probability_hw[closed_hw[seen] & ~mask_hw[seen]] = 0
    probability_hw[_outside(box, REACH, size_hw)[seen]] = 0
    fitted_hw = np.zeros_like(mask_hw)
    fitted_hw[seen] = _fitted(image_hwc[seen], probability_hw, colours)
    return fitted_hw if iou(fitted_hw, mask_hw) >= LEAST_IOU else mask_hw


def beyond(box_xyxy: Box, size_hw: tuple[int, int]) -> BoolMask:
    """Where an object does not reach of which somebody has drawn the box; bool `hw`.

    Args:
        box_xyxy: in pixels.
        size_hw: of the image.
    """
    return _outside(box_xyxy, BOX_ROOM, size_hw)


def _fitted(image_hwc: NDArray[np.uint8], probability_hw: Map, colours: Colours | None) -> BoolMask:
    """Where the object is more likely than not, once colours and edges have had their say."""
    fine_hwc, fine_hw = _within(image_hwc, FINE_PX), _within(probability_hw, FINE_PX)
    fine_hwc = cv2.cvtColor(fine_hwc, cv2.COLOR_RGB2LAB)
    guide_hwc, guide_hw = _within(fine_hwc, GUIDE_PX), _within(fine_hw, GUIDE_PX)
    coarse_hw = _within(fine_hw, COLOURS_PX) > 0.5
    if coarse_hw.all() or not coarse_hw.any():
        return probability_hw > 0.5
    mixtures = learn_colours(_within(fine_hwc, COLOURS_PX), coarse_hw)
    guide_hw = _with_colours(guide_hw, guide_hwc, *mixtures, colours)
    pictures = guide_hwc.astype(np.float32), fine_hwc.astype(np.float32)
    fitted_hw = guided(guide_hw, *pictures, radius=WINDOW, epsilon=FAINT)
    inside_hw = cv2.resize(fitted_hw, image_hwc.shape[1::-1], interpolation=cv2.INTER_LINEAR) > 0.5
    return np.asarray((inside_hw & (probability_hw > 1 - SURE)) | (probability_hw > SURE))


def _with_colours(
    probability_hw: Map, image_hwc: Lab, inside: Mixture, outside: Mixture, prompted: Colours | None
) -> Map:
    """The probabilities once colours have had their say, where the model is not sure."""
    unsure_hw = (probability_hw > 1 - SURE) & (probability_hw < SURE)
    colours_n3, model_n = image_hwc[unsure_hw].astype(np.float32), probability_hw[unsure_hw]
    own_n = inside.log_likelihood(colours_n3) - outside.log_likelihood(colours_n3)
    said_n = COLOURS_COUNT * np.clip(own_n, -COLOURS_MOST, COLOURS_MOST)
    if prompted is not None:
        bins_hw = colour_bins(image_hwc)
        now = max(0.0, contrast(prompted.likelihood(bins_hw), probability_hw > 0.5))
        share = (now * prompted.distinctness) ** 2
        prompted_n = np.clip(prompted.log_odds(bins_hw[unsure_hw]), -COLOURS_MOST, COLOURS_MOST)
        said_n = (1 - share) * said_n + share * PROMPTED_COUNT * prompted_n
    joined_hw = probability_hw.copy()
    joined_hw[unsure_hw] = 1 / (1 + np.exp(-np.log(model_n / (1 - model_n)) - said_n))
    return joined_hw


def _within(picture: NDArray[Any], side_px: int) -> NDArray[Any]:
    """The picture, or map, with a longer side of at most `side_px`."""
    height, width = picture.shape[:2]
    scale = min(1.0, side_px / max(height, width))
    size_wh = max(8, round(width * scale)), max(8, round(height * scale))
    return cv2.resize(picture, size_wh, interpolation=cv2.INTER_AREA)


def _grown(box: Box, share: float, size_hw: tuple[int, int]) -> tuple[slice, slice]:
    """The rows and columns of a box that was widened on each side by a share of its size."""
    x1, y1, x2, y2 = box
    dx, dy = share * (x2 - x1), share * (y2 - y1)
    rows = slice(max(0, int(y1 - dy)), min(size_hw[0], int(np.ceil(y2 + dy))))
    return rows, slice(max(0, int(x1 - dx)), min(size_hw[1], int(np.ceil(x2 + dx))))


def _outside(box: Box, share: float, size_hw: tuple[int, int]) -> BoolMask:
    """What a box that was widened so does not hold."""
    outside_hw = np.ones(size_hw, bool)
    outside_hw[_grown(box, share, size_hw)] = False
    return outside_hw

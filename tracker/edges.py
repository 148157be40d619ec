"""Masks that end where the picture does: what a model is unsure of is decided by the picture.

A SAM2 model decides on a grid of a quarter of its image size: 72 x 72 cells for an image size of
288 px, each many pixels of the video. Between what it is sure of, GrabCut (Rother, Kolmogorov and
Blake, 2004) cuts along edges and by the colours of the object and of its surroundings.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.masks import BoolMask, Box, iou, mask_box

SURE = 0.99  # probability from which the model is believed, and below 1 minus which as well
REACH = 0.2  # of the mask's width and height: so far outside its box the object may reach
SURROUNDINGS = 0.3  # as much again beyond that shows what the background looks like
COARSE_PX = 96  # longer side of the picture from which the colours are learned,
FINE_PX = 320  # and of the one in which the cut is made
LEAST_PX = 20  # smaller masks have no colours to learn
LEAST_IOU = 0.5  # a cut that agrees less with the model's mask has left the object

_NO_BOX = (0, 0, 0, 0)  # GrabCut reads none where it has labels


def fit_all_to_edges(
    image_hwc: NDArray[np.uint8], logits_nhw: NDArray[np.float32]
) -> list[BoolMask]:
    """The masks of several objects, each fitted; where one is, no other grows.

    They are cut side by side: each is a function of its arguments alone, and OpenCV needs no GIL.

    Args:
        image_hwc: RGB uint8.
        logits_nhw: of the model, one map for each object.
    """
    masks_nhw = logits_nhw > 0
    count_hw = masks_nhw.sum(axis=0)
    taken_nhw = [count_hw > mask_hw for mask_hw in masks_nhw]
    each = (repeat(image_hwc, len(masks_nhw)), logits_nhw, taken_nhw)
    if len(masks_nhw) < 2:
        return list(map(fit_to_edges, *each))
    with ThreadPoolExecutor(min(len(masks_nhw), os.cpu_count() or 1)) as pool:
        return list(pool.map(fit_to_edges, *each))


def fit_to_edges(
    image_hwc: NDArray[np.uint8], logits_hw: NDArray[np.float32], closed_hw: BoolMask | None = None
) -> BoolMask:
    """The mask of `logits_hw`, fitted to the edges of the picture.

    A function of its arguments alone. A mask that is too small, leaves no background, or would
    become quite another one stays as the model has it.

    Args:
        image_hwc: RGB uint8.
        logits_hw: of the model, at the image's resolution; the object is where they are above 0.
        closed_hw: where the object does not grow: what the model does not give it there, it does
            not get.

    Returns:
        bool, at the image's resolution.
    """
    mask_hw = np.asarray(logits_hw > 0)
    box = mask_box(mask_hw)
    if box is None or np.count_nonzero(mask_hw) < LEAST_PX:
        return mask_hw
    size_hw = mask_hw.shape[0], mask_hw.shape[1]
    near, seen = _grown(box, REACH, size_hw), _grown(box, REACH + SURROUNDINGS, size_hw)
    clipped_hw = np.clip(logits_hw[seen], -30, 30)
    probability_hw = np.asarray(1 / (1 + np.exp(-clipped_hw)), np.float32)
    if closed_hw is not None:
        probability_hw[closed_hw[seen] & ~mask_hw[seen]] = 0
    outside_hw = np.ones(size_hw, bool)
    outside_hw[near] = False
    probability_hw[outside_hw[seen]] = 0
    fitted_hw = np.zeros_like(mask_hw)
    fitted_hw[seen] = _cut(image_hwc[seen], probability_hw)
    return fitted_hw if iou(fitted_hw, mask_hw) >= LEAST_IOU else mask_hw


def _cut(image_hwc: NDArray[np.uint8], probability_hw: NDArray[np.float32]) -> BoolMask:
    """Colours are learned from few pixels, which is what takes time; many are then cut."""
    background, foreground = np.zeros((1, 65)), np.zeros((1, 65))  # models of colours, of OpenCV
    coarse_hwc, labels_hw = _scaled(image_hwc, probability_hw, COARSE_PX)
    if len(np.unique(labels_hw & 1)) < 2:
        return probability_hw > 0.5
    cv2.setRNGSeed(0)  # colours are clustered from random starts
    modes = (cv2.GC_INIT_WITH_MASK, cv2.GC_EVAL_FREEZE_MODEL)
    cv2.grabCut(coarse_hwc, labels_hw, _NO_BOX, background, foreground, 1, modes[0])
    fine_hwc, labels_hw = _scaled(image_hwc, probability_hw, FINE_PX)
    cv2.grabCut(fine_hwc, labels_hw, _NO_BOX, background, foreground, 1, modes[1])
    object_hw = (labels_hw & 1).astype(np.float32)  # GC_FGD and GC_PR_FGD are odd
    size_wh = image_hwc.shape[1], image_hwc.shape[0]
    return np.asarray(cv2.resize(object_hw, size_wh, interpolation=cv2.INTER_LINEAR) > 0.5)


def _scaled(
    image_hwc: NDArray[np.uint8], probability_hw: NDArray[np.float32], side_px: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Picture (CIELAB) and GrabCut's labels with a longer side of at most `side_px`."""
    height, width = probability_hw.shape
    scale = min(1.0, side_px / max(height, width))
    size_wh = max(8, round(width * scale)), max(8, round(height * scale))
    small_hwc = cv2.resize(image_hwc, size_wh, interpolation=cv2.INTER_AREA)
    small_hw = cv2.resize(probability_hw, size_wh, interpolation=cv2.INTER_AREA)
    labels_hw = np.where(small_hw > 0.5, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels_hw[small_hw > SURE] = cv2.GC_FGD
    labels_hw[small_hw < 1 - SURE] = cv2.GC_BGD
    return np.asarray(cv2.cvtColor(small_hwc, cv2.COLOR_RGB2LAB), np.uint8), labels_hw


def _grown(box: Box, share: float, size_hw: tuple[int, int]) -> tuple[slice, slice]:
    """The rows and columns of a box that was widened on each side by a share of its size."""
    x1, y1, x2, y2 = box
    dx, dy = share * (x2 - x1), share * (y2 - y1)
    rows = slice(max(0, int(y1 - dy)), min(size_hw[0], int(np.ceil(y2 + dy))))
    return rows, slice(max(0, int(x1 - dx)), min(size_hw[1], int(np.ceil(x2 + dx))))

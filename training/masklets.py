"""Pseudo-masklets: regions of real clips, carried along by optical flow while it can be trusted.

Nobody labelled them: a region is what has one colour, place and motion on the first frame. They
teach to follow what was given through real blur, deformation and light, not what an object is.
"""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from training.flow import flow_places, own_motion
from training.textures import Image, Rng

_SEGMENTED_WIDTH = 112
_AREA = (0.008, 0.35)  # of the frame
_KNOWN = 0.75  # of a carried region, by the way back
_OUTLINED = 0.55  # of a region's outline lies on edges of the image


def carried_regions(rng: Rng, shown: list[Image], objects: int) -> list[NDArray[np.bool_]]:
    """Up to `objects` regions of the first frame, on every frame: each bool (t, h, w).

    Fewer, or none, where the flow does not carry more of them to the end.
    """
    places = [flow_places(a, b) for a, b in pairwise(shown)]
    candidates = _regions(rng, shown[0], flow_places(shown[1], shown[0])[0])
    survivors = (_carry(region, places) for region in candidates[: 4 * objects])
    return [masks for masks in survivors if masks is not None][:objects]


def _regions(rng: Rng, image: Image, places_hw2: NDArray[np.float32]) -> list[NDArray[np.bool_]]:
    """Connected regions of one colour, place and motion; those that move by themselves come early.

    How much colour, place and motion count, and into how many clusters they fall, is drawn anew
    each time, so that regions come at several scales.
    """
    height, width = image.shape[:2]
    small_wh = (_SEGMENTED_WIDTH, max(round(_SEGMENTED_WIDTH * height / width), 8))
    motion = cv2.resize(own_motion(places_hw2), small_wh, interpolation=cv2.INTER_AREA)
    motion = np.clip(motion, -12, 12)
    smooth = cv2.medianBlur(cv2.resize(image, small_wh, interpolation=cv2.INTER_AREA), 3)
    lab = cv2.cvtColor(smooth, cv2.COLOR_RGB2LAB).astype(np.float32) / 40
    place = np.dstack(np.meshgrid(*(np.linspace(0, 1, n) for n in small_wh))).astype(np.float32)
    weights = rng.uniform((0.5, 1.0, 0.2), (1.5, 5.0, 1.0))
    parts = (lab * weights[0], place * weights[1], motion * weights[2])
    features = np.concatenate([p.reshape(-1, p.shape[-1]) for p in parts], 1).astype(np.float32)
    cv2.setRNGSeed(int(rng.integers(2**31)))
    criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 10, 0.1)
    clusters = int(rng.integers(4, 15))
    _, labels, _ = cv2.kmeans(features, clusters, None, criteria, 1, cv2.KMEANS_RANDOM_CENTERS)
    labels_hw = cv2.medianBlur(labels.reshape(small_wh[::-1]).astype(np.uint8), 5)
    found = []
    for cluster in range(clusters):
        count, pieces = cv2.connectedComponents((labels_hw == cluster).astype(np.uint8))
        found += [pieces == piece for piece in range(1, count)]
    found = [r for r in found if _AREA[0] < r.mean() < _AREA[1] and _is_outlined(r, lab)]
    speed = np.linalg.norm(motion, axis=-1)
    found.sort(key=lambda region: rng.random() / (0.3 + speed[region].mean()))
    return [cv2.resize(r.astype(np.float32), (width, height)) > 0.5 for r in found]


def _is_outlined(region_hw: NDArray[np.bool_], lab_hw3: NDArray[np.float32]) -> bool:
    """Whether most of the outline can be seen: a cut through a plain sky cannot be followed."""
    across = cv2.morphologyEx(lab_hw3, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)).max(-1)
    # The frame's own border is no outline.
    ring = cv2.morphologyEx(
        np.pad(region_hw, 1, "edge").astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)
    )[1:-1, 1:-1]
    return bool((across[ring > 0] > max(np.quantile(across, 0.6), 0.15)).mean() > _OUTLINED)


def _carry(
    region_hw: NDArray[np.bool_],
    places: list[tuple[NDArray[np.float32], NDArray[np.bool_]]],
) -> NDArray[np.bool_] | None:
    """The region on every frame, bool (t, h, w), or None where the flow loses it."""
    masks = [region_hw]
    for place_hw2, known_hw in places:
        source = masks[-1].astype(np.float32)
        moved = cv2.remap(source, place_hw2[..., 0], place_hw2[..., 1], cv2.INTER_LINEAR) > 0.5
        growth = moved.sum() / masks[-1].sum()
        if not 0.6 < growth < 1.7 or known_hw[moved].mean() < _KNOWN:
            return None
        masks.append(moved)
    return np.stack(masks)

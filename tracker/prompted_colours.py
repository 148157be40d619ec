"""The colours of an object, known from its prompts: how much a place on another frame has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.masks import BoolMask

SIDE = 288  # a prompt's picture is looked at in a square of so many pixels
LIGHTNESS_STEP, COLOUR_STEP = 16, 8  # of OpenCV's 8-bit CIELAB: light changes more than colour
_PER_CHANNEL = 255 // COLOUR_STEP + 1
BINS = (255 // LIGHTNESS_STEP + 1) * _PER_CHANNEL**2
_RARE = 1e-5  # share of pixels below which a colour says little

Bins = NDArray[np.int32]
Lab = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Colours:
    """What one prompt, or several, showed of an object's colours.

    Attributes:
        counts_2n: int32, pixels of every colour inside of the mask and outside.
        distinctness: 0 to 1, the contrast between the object and its surroundings in the prompt.
    """

    counts_2n: NDArray[np.int32]
    distinctness: float

    @classmethod
    def of(cls, image_hwc: NDArray[np.uint8], mask_hw: BoolMask) -> Colours:
        """Those of a picture, RGB uint8, in which the object is `mask_hw`."""
        bins_hw = colour_bins(in_square(image_hwc))
        small_hw = cv2.resize(mask_hw.astype(np.uint8), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        inside_hw = small_hw > 0
        counted = [np.bincount(bins_hw[part], minlength=BINS) for part in (inside_hw, ~inside_hw)]
        shown = cls(np.asarray(counted, np.int32), 0.0)
        seen_hw = shown.likelihood(bins_hw)
        return cls(shown.counts_2n, max(0.0, contrast(seen_hw, inside_hw)))

    @classmethod
    def together(cls, prompts: Sequence[Colours]) -> Colours:
        """What several prompts of one object showed; at least one."""
        counts_2n = np.stack([each.counts_2n for each in prompts]).sum(axis=0, dtype=np.int32)
        return cls(counts_2n, sum(each.distinctness for each in prompts) / len(prompts))

    def log_odds(self, bins_hw: Bins) -> NDArray[np.float32]:
        """For every place of `colour_bins`, the object against all else, were it as large."""
        inside_n, outside_n = self._shares()
        odds_n = np.log((inside_n + _RARE) / (outside_n + _RARE))
        return np.asarray(odds_n, np.float32)[bins_hw]

    def likelihood(self, bins_hw: Bins) -> NDArray[np.float32]:
        """`log_odds` as probabilities."""
        inside_n, outside_n = self._shares()
        likely_n = (inside_n + _RARE) / (inside_n + outside_n + 2 * _RARE)
        return np.asarray(likely_n, np.float32)[bins_hw]

    def _shares(self) -> NDArray[np.float64]:
        counts_2n = self.counts_2n
        return counts_2n / np.maximum(counts_2n.sum(axis=1, keepdims=True), 1)


def in_square(image_hwc: NDArray[np.uint8]) -> Lab:
    """An RGB picture in a square of `SIDE` pixels, CIELAB as OpenCV's uint8."""
    small_hwc = cv2.resize(image_hwc, (SIDE, SIDE))  # samples: means take ten times as long
    return np.asarray(cv2.cvtColor(small_hwc, cv2.COLOR_RGB2LAB))


def colour_bins(lab_hwc: Lab) -> Bins:
    """The bin of every pixel's colour, int32 below `BINS`; the picture is CIELAB, uint8."""
    lightness_hw, a_hw, b_hw = np.moveaxis(lab_hwc.astype(np.int32), 2, 0)
    rows_hw = lightness_hw // LIGHTNESS_STEP * _PER_CHANNEL + a_hw // COLOUR_STEP
    return np.asarray(rows_hw * _PER_CHANNEL + b_hw // COLOUR_STEP)


def contrast(seen_hw: NDArray[np.float32], mask_hw: BoolMask) -> float:
    """Mean of a map inside of a mask, less its mean in a ring around it; 0 for an empty mask.

    The ring is a quarter as wide as the side of a square of the mask's area.
    """
    if not mask_hw.any():
        return 0.0
    side = max(3, int(np.sqrt(mask_hw.sum()) / 2) | 1)
    wider_hw = cv2.dilate(mask_hw.astype(np.uint8), np.ones((side, side), np.uint8)) > 0
    ring_hw = wider_hw & ~mask_hw
    around = seen_hw[ring_hw].mean() if ring_hw.any() else 0.0
    return float(seen_hw[mask_hw].mean() - around)

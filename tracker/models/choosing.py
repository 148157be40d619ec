"""Which of the decoder's candidate masks is taken for a frame: what the model and the picture say.

SAM2 takes the candidate whose IoU it predicts to be the largest (sam2_base.py:383). Where one thing
passes before another a small model is about as sure of either; the colours of the object, known
from its prompts, tell them apart as far as they differ from those of its surroundings.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from tracker.masks import BoolMask
from tracker.models.bounded_state import Output

SIDE = 288  # the picture is looked at in a square of so many pixels
LIGHTNESS_STEP, COLOUR_STEP = 48, 24  # of OpenCV's 8-bit CIELAB: light changes more than colour
_PER_CHANNEL = 255 // COLOUR_STEP + 1
BINS = (255 // LIGHTNESS_STEP + 1) * _PER_CHANNEL**2
STABILITY = 0.3  # weight of a candidate's stability beside its predicted IoU,
COLOURS = 3.0  # and of the contrast that the colours see in it
OFFSET = 1.0  # of logits: a stable mask keeps its area when the threshold moves by so much
_COUNTS, _DISTINCTNESS = "colour_counts", "colour_distinctness"  # keys of outputs
_RARE = 1e-4  # share of pixels below which a colour says nothing

Bins = NDArray[np.int32]


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
    def of(cls, bins_hw: Bins, mask_hw: BoolMask) -> Colours:
        """Those of a picture of `bin_colours` whose object is `mask_hw`, bool of any size."""
        small_hw = cv2.resize(mask_hw.astype(np.uint8), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        inside_hw = small_hw > 0
        counted = [np.bincount(bins_hw[part], minlength=BINS) for part in (inside_hw, ~inside_hw)]
        counts_2n = np.asarray(counted, np.int32)
        seen_hw = _likelihood(counts_2n)[bins_hw]
        return cls(counts_2n, max(0.0, contrast(seen_hw, inside_hw)))

    def find(self, bins_hw: Bins, size_hw: tuple[int, int]) -> NDArray[np.float32]:
        """How much every place looks like the object, 0 to 1; float32 of `size_hw`."""
        seen_hw = _likelihood(self.counts_2n)[bins_hw]
        return np.asarray(cv2.resize(seen_hw, size_hw[::-1], interpolation=cv2.INTER_AREA))


def remember_colours(out: Output, image_hwc: NDArray[np.uint8], mask_hw: BoolMask) -> None:
    """Add to the output of a prompted frame what it shows of its object; as tensors, to be kept.

    Nothing when the mask is empty.
    """
    if not mask_hw.any():
        return
    colours = Colours.of(bin_colours(image_hwc), mask_hw)
    out[_COUNTS] = torch.from_numpy(colours.counts_2n)
    out[_DISTINCTNESS] = torch.tensor(colours.distinctness)


def remembered_colours(prompted: Iterable[Output]) -> Colours | None:
    """What all prompts of an object showed; None when nothing was added to any of these outputs."""
    shown = [out for out in prompted if _COUNTS in out]
    if not shown:
        return None
    counts_2n = sum(out[_COUNTS].cpu().numpy() for out in shown)
    distinctness = sum(float(out[_DISTINCTNESS]) for out in shown) / len(shown)
    return Colours(np.asarray(counts_2n, np.int32), distinctness)


def bin_colours(image_hwc: NDArray[np.uint8]) -> Bins:
    """The bin of every pixel's colour, int32 (SIDE, SIDE) below `BINS`; the image is RGB uint8."""
    small_hwc = cv2.resize(image_hwc, (SIDE, SIDE))  # samples: means take ten times as long
    lab_hwc = cv2.cvtColor(small_hwc, cv2.COLOR_RGB2LAB).astype(np.int32)
    lightness_hw, a_hw, b_hw = np.moveaxis(lab_hwc, 2, 0)
    rows_hw = lightness_hw // LIGHTNESS_STEP * _PER_CHANNEL + a_hw // COLOUR_STEP
    return np.asarray(rows_hw * _PER_CHANNEL + b_hw // COLOUR_STEP)


def _likelihood(counts_2n: NDArray[np.int32]) -> NDArray[np.float32]:
    """Probability that a pixel of a colour is the object's, were it as large as the rest."""
    inside_n, outside_n = counts_2n / np.maximum(counts_2n.sum(axis=1, keepdims=True), 1)
    return np.asarray(inside_n / (inside_n + outside_n + _RARE), np.float32)


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


def stability(logits_hw: NDArray[np.float32]) -> float:
    """How much of a mask does not depend on the threshold, 0 to 1 (Kirillov et al. 2023, SAM)."""
    return float(((logits_hw > OFFSET).sum() + 1) / ((logits_hw > -OFFSET).sum() + 1))


def choose(
    logits_mhw: NDArray[np.float32],
    predicted_ious_m: NDArray[np.float32],
    colours: Colours,
    bins_hw: Bins,
) -> int:
    """The index of the candidate to take.

    Scored by log(predicted IoU) + 0.3 log(stability) + 3 d² contrast, where d is how distinct the
    object's colours are; docs/streaming.md says where the weights come from.

    Args:
        logits_mhw: of the candidates.
        predicted_ious_m: 0 to 1.
        colours: of the object.
        bins_hw: the frame's colours.
    """
    seen_hw = colours.find(bins_hw, logits_mhw.shape[1:])
    weight = COLOURS * colours.distinctness**2
    scores = [
        np.log(max(predicted_iou, 1e-4))
        + STABILITY * np.log(stability(logits_hw))
        + weight * contrast(seen_hw, logits_hw > 0)
        for logits_hw, predicted_iou in zip(logits_mhw, predicted_ious_m, strict=True)
    ]
    return int(np.argmax(scores))

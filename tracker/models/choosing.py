"""Which of the decoder's candidate masks is taken for a frame: what the model and the picture say.

SAM2 takes the candidate whose IoU it predicts to be the largest (sam2_base.py:383). Where one thing
passes before another a small model is about as sure of either; the colours of the object, known
from its prompts, tell them apart as far as they differ from those of its surroundings.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.prompted_colours import Bins, Colours, contrast

STABILITY = 0.3  # weight of a candidate's stability beside its predicted IoU,
COLOURS = 4.0  # and of the contrast that the colours see in it
OFFSET = 1.0  # of logits: a stable mask keeps its area when the threshold moves by so much


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

    Scored by log(predicted IoU) + 0.3 log(stability) + 4 d⁴ contrast, where d is how distinct the
    object's colours are; docs/streaming.md says where the weights come from.

    Args:
        logits_mhw: of the candidates.
        predicted_ious_m: 0 to 1.
        colours: of the object.
        bins_hw: the frame's colours.
    """
    size_wh = logits_mhw.shape[2], logits_mhw.shape[1]
    seen_hw = cv2.resize(colours.likelihood(bins_hw), size_wh, interpolation=cv2.INTER_AREA)
    weight = COLOURS * colours.distinctness**4
    scores = [
        np.log(max(predicted_iou, 1e-4))
        + STABILITY * np.log(stability(logits_hw))
        + weight * contrast(np.asarray(seen_hw, np.float32), logits_hw > 0)
        for logits_hw, predicted_iou in zip(logits_mhw, predicted_ious_m, strict=True)
    ]
    return int(np.argmax(scores))

"""Everything at once: SAM2's automatic mask generator on the weights of a video predictor."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator

from tracker.masks import BoolMask
from tracker.models.sam2 import ImagePrompter
from tracker.models.streaming import StreamingVideoPredictor


@dataclass(frozen=True, eq=False)
class GridMask:
    """One mask that a point of the grid gave.

    Attributes:
        mask_hw: bool at the image's resolution, with at least one pixel.
        predicted_iou: the decoder's own estimate of the mask's IoU, 0 to 1.
        stability: the IoU of the masks at a lower and a higher threshold of the logits, 0 to 1.
    """

    mask_hw: BoolMask
    predicted_iou: float
    stability: float


class EverythingGenerator:
    """Segments whatever stands out in an image, from a grid of points.

    Wraps sam2's `SAM2AutomaticMaskGenerator`; what it does with its thresholds stands there.
    """

    def __init__(
        self,
        predictor: StreamingVideoPredictor,
        *,
        points_per_side: int = 32,
        min_iou: float = 0.8,
        min_stability: float = 0.95,
        box_nms: float = 0.7,
        crop_layers: int = 0,
        min_area_px: int = 0,
    ) -> None:
        """Get ready.

        Args:
            predictor: whose weights answer.
            points_per_side: of the grid, evenly spread over the image.
            min_iou, min_stability: masks below are dropped, 0 to 1.
            box_nms: of two masks whose boxes have a greater IoU, the better one stays.
            crop_layers: how often the image is searched again, in 4, 16, … overlapping parts.
            min_area_px: masks with fewer pixels are dropped.
        """
        self._min_area_px = min_area_px
        with warnings.catch_warnings():  # sam2/utils/transforms.py:30 scripts its transforms
            warnings.filterwarnings("ignore", message="`torch.jit.script` is deprecated")
            self._generator = SAM2AutomaticMaskGenerator(
                predictor,
                points_per_side=points_per_side,
                pred_iou_thresh=min_iou,
                stability_score_thresh=min_stability,
                box_nms_thresh=box_nms,
                crop_nms_thresh=box_nms,
                crop_n_layers=crop_layers,
            )
        # Its own image predictor has the feature sizes of a 1024 px model written out.
        self._generator.predictor = ImagePrompter(predictor).image_predictor

    @torch.inference_mode()
    def generate(self, image_hwc: NDArray[np.uint8]) -> list[GridMask]:
        """The masks of an RGB uint8 image, the largest first."""
        found = [
            GridMask(
                np.asarray(entry["segmentation"], bool),
                float(np.clip(entry["predicted_iou"], 0, 1)),
                float(entry["stability_score"]),
            )
            for entry in self._generator.generate(np.array(image_hwc))
            if entry["area"] >= max(self._min_area_px, 1)
        ]
        return sorted(found, key=lambda mask: -np.count_nonzero(mask.mask_hw))

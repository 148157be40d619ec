"""Small holes in masks are filled, as sam2/utils/misc.py:312 does with its CUDA extension."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from tracker.masks import small_holes

FILLED = 0.1
"""The logit that SAM2 gives to what it fills."""


def fill_holes(logits_b1hw: torch.Tensor, max_area_px: int) -> torch.Tensor:
    """Holes of at most `max_area_px` pixels (8-connected, logit <= 0) get the logit 0.1.

    `max_area_px` 0 leaves the logits as they are. OpenCV finds the holes, but on a GPU, where the
    masks would have to be waited for.
    """
    if max_area_px <= 0:
        return logits_b1hw
    if logits_b1hw.is_cuda:
        holes_b1hw = holes_by_pooling(logits_b1hw <= 0, max_area_px)
    else:
        masks_bhw = (logits_b1hw[:, 0] > 0).cpu().numpy()
        holes = [torch.from_numpy(small_holes(mask_hw, max_area_px)) for mask_hw in masks_bhw]
        holes_b1hw = torch.stack(holes)[:, None].to(logits_b1hw.device)
    return torch.where(holes_b1hw, FILLED, logits_b1hw)


def holes_by_pooling(ground_b1hw: torch.Tensor, max_area_px: int) -> torch.Tensor:
    """Regions of at most `max_area_px` pixels (8-connected) of the bool `ground_b1hw`.

    Every pixel takes the largest index within `max_area_px - 1` steps: in a small region all come
    to agree. A label that few pixels have, none of them beside a pixel of another, is such a
    region.
    """
    batch, _, height, width = ground_b1hw.shape
    # Indices as float32 are exact up to 2**24 pixels.
    indices = torch.arange(1.0, height * width + 1, device=ground_b1hw.device)
    labels = ground_b1hw * indices.view(1, 1, height, width)
    for _ in range(max_area_px - 1):
        labels = _largest_around(labels) * ground_b1hw
    no_label = float(height * width + 1)
    smallest = -_largest_around(torch.where(ground_b1hw, -labels, -no_label))
    differs = ground_b1hw & (_largest_around(labels) != smallest)
    label_bn = labels.flatten(1).long()
    # A pixel beside another label counts for so many that its label cannot be few.
    weight_bn = torch.where(differs, max_area_px + 1.0, 1.0).flatten(1)
    sizes = weight_bn.new_zeros(batch, height * width + 1).scatter_add_(1, label_bn, weight_bn)
    few = sizes.gather(1, label_bn) <= max_area_px
    return few.view_as(ground_b1hw) & ground_b1hw


def _largest_around(values_b1hw: torch.Tensor) -> torch.Tensor:
    return F.max_pool2d(values_b1hw, kernel_size=3, stride=1, padding=1)

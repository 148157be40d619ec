"""What SAM2 is taught: the mask, its IoU, and whether the object is there."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional as F


@dataclass(frozen=True)
class DecoderOutput:
    """What the mask decoder returned before absent objects are gated out.

    masks_nmhw: logits of m candidate masks at a quarter of the model's size; ious_nm: predicted;
    scores_n1: object score logits.
    """

    masks_nmhw: torch.Tensor
    ious_nm: torch.Tensor
    scores_n1: torch.Tensor


def decoder_loss(output: DecoderOutput, truth_nhw: torch.Tensor) -> dict[str, torch.Tensor]:
    """Losses of one decoder call against true masks (bool, model size).

    Of several candidates only the best learns its mask; all learn their IoU. A mask that is not
    there teaches the object score alone.
    """
    logits = F.interpolate(output.masks_nmhw.float(), scale_factor=2, mode="bilinear")
    size = logits.shape[-2:]
    truth = F.interpolate(truth_nhw[:, None].float(), size=size, mode="area").expand_as(logits)
    present = truth_nhw.flatten(1).any(1)
    bce = F.binary_cross_entropy_with_logits(logits, truth, reduction="none").flatten(2).mean(2)
    probability = logits.sigmoid().flatten(2)
    target = truth.flatten(2)
    overlap = 2 * (probability * target).sum(2)
    dice = 1 - (overlap + 1) / (probability.sum(2) + target.sum(2) + 1)
    mask_loss_nm = 4 * bce + dice
    best = mask_loss_nm.argmin(1, keepdim=True)
    with torch.no_grad():
        binary, solid = logits > 0, truth > 0.5
        inter = (binary & solid).flatten(2).sum(2).float()
        true_iou = inter / (binary | solid).flatten(2).sum(2).clamp(min=1)
    iou_loss = (output.ious_nm.float() - true_iou).abs().mean(1)
    weight = present.float()
    total = weight.sum().clamp(min=1)
    score = F.binary_cross_entropy_with_logits(output.scores_n1[:, 0].float(), weight)
    return {
        "mask": (mask_loss_nm.gather(1, best)[:, 0] * weight).sum() / total,
        "iou": (iou_loss * weight).sum() / total,
        "score": score,
    }


WEIGHTS = {"mask": 1.0, "iou": 0.3, "score": 0.4}


def weighted(losses: list[dict[str, torch.Tensor]]) -> torch.Tensor:
    """The mean over decoder calls of the weighted sum of losses."""
    return torch.stack(
        [sum((WEIGHTS[k] * v for k, v in loss.items()), torch.zeros(())) for loss in losses]
    ).mean()

"""SAM's prompt encoder and mask decoder for a group of objects on one image.

As sam2/modeling/sam2_base.py:247-398 `_forward_sam_heads` in two steps, so that another may say
which mask is taken. Only that one is brought to the model's full size, and image features may have
a batch of 1. On a CPU torch rounds the last bit of one enlarged mask otherwise than that of three.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import cv2
import torch
from sam2.modeling.sam2_base import NO_OBJ_SCORE
from torch.nn import functional as F

HeadOutputs = tuple[torch.Tensor, Any, torch.Tensor, torch.Tensor, torch.Tensor, Any, torch.Tensor]


class Proposals(NamedTuple):
    """What the decoder offers: m candidate masks for each of b objects.

    masks_bmhw: float32 logits. ious_bm: predicted. tokens_bmc: of the masks, or one for all of
    them. scores_b1: object score logits.
    """

    masks_bmhw: torch.Tensor
    ious_bm: torch.Tensor
    tokens_bmc: torch.Tensor
    scores_b1: torch.Tensor


def decode_masks(model: Any, *inputs: Any) -> HeadOutputs:
    """The candidate whose predicted IoU is the largest; takes what `propose` takes."""
    proposals = propose(model, *inputs)
    return settle(model, proposals, proposals.ious_bm.argmax(dim=-1))


def propose(
    model: Any,
    features_bchw: torch.Tensor,
    point_inputs: dict[str, torch.Tensor] | None,
    mask_inputs: torch.Tensor | None,
    high_res_features: list[torch.Tensor] | None,
    multimask_output: bool,
) -> Proposals:
    """As sam2_base.py:304-378: the candidates, those of absent objects without a mask."""
    sparse, dense = _encode_prompts(model, len(features_bchw), point_inputs, mask_inputs)
    masks_bmhw, ious_bm, tokens, scores_b1 = model.sam_mask_decoder(
        image_embeddings=features_bchw,
        image_pe=model.sam_prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=multimask_output,
        repeat_image=False,
        high_res_features=high_res_features,
    )
    if model.pred_obj_scores:
        masks_bmhw = torch.where((scores_b1 > 0)[:, None, None], masks_bmhw, NO_OBJ_SCORE)
    return Proposals(masks_bmhw.float(), ious_bm, tokens, scores_b1)


def settle(model: Any, proposals: Proposals, best_b: torch.Tensor) -> HeadOutputs:
    """The seven outputs of `_forward_sam_heads` when candidate `best_b` is taken of every object.

    None stands for the full-size candidates.
    """
    masks_bmhw, ious_bm, tokens_bmc, scores_b1 = proposals
    rows = torch.arange(len(masks_bmhw), device=masks_bmhw.device)
    low_res = masks_bmhw[rows, best_b].unsqueeze(1)
    size = (model.image_size, model.image_size)
    high_res = F.interpolate(low_res, size, mode="bilinear", align_corners=False)
    token_bc = tokens_bmc[rows, best_b] if tokens_bmc.size(1) > 1 else tokens_bmc[:, 0]
    pointers = _pointers(model, token_bc, scores_b1)
    return masks_bmhw, None, ious_bm, low_res, high_res, pointers, scores_b1


def _encode_prompts(
    model: Any,
    batch: int,
    point_inputs: dict[str, torch.Tensor] | None,
    mask_inputs: torch.Tensor | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """As sam2_base.py:304-342."""
    encoder, device = model.sam_prompt_encoder, model.device
    if point_inputs is None:
        coordinates = torch.zeros(batch, 1, 2, device=device)
        labels = -torch.ones(batch, 1, dtype=torch.int32, device=device)
    else:
        coordinates, labels = point_inputs["point_coords"], point_inputs["point_labels"]
    if mask_inputs is not None and mask_inputs.shape[-2:] != encoder.mask_input_size:
        mask_inputs = F.interpolate(
            mask_inputs.float(),
            encoder.mask_input_size,
            mode="bilinear",
            align_corners=False,
            antialias=True,
        )
    return encoder(points=(coordinates, labels), boxes=None, masks=mask_inputs)


def enlarged(masks_b1hw: torch.Tensor, size_hw: tuple[int, int]) -> torch.Tensor:
    """Mask logits on a CPU at another size, bilinear as torch's `align_corners=False`."""
    out_b1hw = masks_b1hw.new_empty(len(masks_b1hw), 1, *size_hw)
    for mask_1hw, out_1hw in zip(masks_b1hw, out_b1hw, strict=True):
        cv2.resize(mask_1hw[0].numpy(), size_hw[::-1], dst=out_1hw[0].numpy())
    return out_b1hw


def _pointers(model: Any, token_bc: torch.Tensor, scores_b1: torch.Tensor) -> torch.Tensor:
    """As sam2_base.py:386-398."""
    pointers_bc = model.obj_ptr_proj(token_bc)
    if not model.pred_obj_scores:
        return pointers_bc
    there = scores_b1.sigmoid() if model.soft_no_obj_ptr else (scores_b1 > 0).float()
    if model.fixed_no_obj_ptr:
        pointers_bc = there * pointers_bc
    return pointers_bc + (1 - there) * model.no_obj_ptr

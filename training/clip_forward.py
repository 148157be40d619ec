"""One clip through SAM2: prompts on the first frame, memory on the following ones.

The mask decoder's outputs are read before SAM2 replaces the masks of absent objects by a constant
(sam2/modeling/sam2_base.py:363-372), which would stop their gradients.
"""

from __future__ import annotations

from typing import Any

import torch
from sam2.modeling.sam2_base import SAM2Base

from training.clips import ClipBatch
from training.losses import DecoderOutput, decoder_loss
from training.prompts import Points, PromptKind, corrected, first_prompt

_MEAN = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
_STD = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)


class ClipRunner:
    """Runs clips through a SAM2 model; objects of one clip share its encoded frames."""

    def __init__(self, model: SAM2Base, generator: torch.Generator) -> None:
        self.model, self.generator = model, generator
        self._decoded: list[DecoderOutput] = []
        model.sam_mask_decoder.register_forward_hook(self._keep)

    def _keep(self, module: Any, inputs: Any, output: tuple[torch.Tensor, ...]) -> None:
        self._decoded.append(DecoderOutput(output[0], output[1], output[3]))

    def encode(self, images_bthwc: torch.Tensor) -> list[dict[str, Any]]:
        """Per frame the keyword arguments of `track_step` that hold image features, (hw, b, c)."""
        b, t, size = images_bthwc.shape[:3]
        _fit(self.model, size)
        images = images_bthwc.flatten(0, 1).permute(0, 3, 1, 2).float() / 255
        images = (images - _MEAN.to(images.device)) / _STD.to(images.device)
        _, feats, positions, sizes = self.model._prepare_backbone_features(
            self.model.forward_image(images)
        )
        return [
            {
                "current_vision_feats": [x.view(-1, b, t, x.shape[-1])[:, :, i] for x in feats],
                "current_vision_pos_embeds": [
                    x.view(-1, b, t, x.shape[-1])[:, :, i] for x in positions
                ],
                "feat_sizes": sizes,
            }
            for i in range(t)
        ]

    def run(
        self, batch: ClipBatch, kind: PromptKind, *, corrections: int = 0, correct_frame: int = -1
    ) -> tuple[list[dict[str, torch.Tensor]], torch.Tensor]:
        """Losses of every decoder call, and predicted masks (b, k, t, h, w) as bool.

        Args:
            kind: the prompt on the first frame, for all objects.
            corrections: further clicks on the first frame, each inside the last mask's error.
            correct_frame: a later frame that gets a click, or -1.
        """
        b, k, t = batch.masks_bkthw.shape[:3]
        encoded = self.encode(batch.images_bthwc)
        memory: dict[str, dict[int, Any]] = {"cond_frame_outputs": {}, "non_cond_frame_outputs": {}}
        losses, predicted = [], []
        for index in range(t):
            truth = batch.masks_bkthw[:, :, index].flatten(0, 1)
            features = _per_object(encoded[index], k)
            clicks = corrections if index == 0 else int(index == correct_frame)
            out = self._frame(index, t, features, truth, kind, clicks, memory, losses)
            conditioning = index == 0 or index == correct_frame
            store = "cond_frame_outputs" if conditioning else "non_cond_frame_outputs"
            memory[store][index] = out
            predicted.append(out["pred_masks_high_res"][:, 0].detach() > 0)
        return losses, torch.stack(predicted, 1).unflatten(0, (b, k))

    def _frame(
        self,
        index: int,
        frames: int,
        features: dict[str, Any],
        truth: torch.Tensor,
        kind: PromptKind,
        clicks: int,
        memory: dict[str, dict[int, Any]],
        losses: list[dict[str, torch.Tensor]],
    ) -> dict[str, Any]:
        """Track one frame, click into its errors, and encode the last mask as memory."""
        first = index == 0
        as_mask = first and kind == "mask"
        points: Points | None = None
        if first and not as_mask:
            points = first_prompt(truth, kind, self.generator)
        step = {
            "frame_idx": index,
            "is_init_cond_frame": first,
            "output_dict": memory,
            "num_frames": max(frames, 16),
            **features,
        }
        mask_input = truth[:, None].float() if as_mask else None
        out: dict[str, Any] = {}
        logits = None
        for turn in range(clicks + 1):
            self._decoded.clear()
            last = turn == clicks
            out = self.model.track_step(
                point_inputs=points,
                mask_inputs=mask_input,
                prev_sam_mask_logits=logits,
                run_mem_encoder=last and frames > 1,
                **step,
            )
            if not as_mask:
                losses.append(decoder_loss(self._decoded[-1], truth))
            if not last:
                seen = out["pred_masks_high_res"][:, 0].detach() > 0
                points = corrected(points, seen, truth, self.generator)
                logits = out["pred_masks"].detach().clamp(-32, 32)
                mask_input, as_mask = None, False
        return out


def _fit(model: SAM2Base, size: int) -> None:
    """Set the model to square frames of `size` pixels; no weight depends on it."""
    cells = size // model.backbone_stride
    model.image_size, model.sam_image_embedding_size = size, cells
    encoder = model.sam_prompt_encoder
    encoder.image_embedding_size = (cells, cells)
    encoder.input_image_size = (size, size)
    encoder.mask_input_size = (4 * cells, 4 * cells)


def _per_object(features: dict[str, Any], objects: int) -> dict[str, Any]:
    """Repeat a frame's features for each of a clip's objects."""
    repeated = {
        key: [x.repeat_interleave(objects, dim=1) for x in features[key]]
        for key in ("current_vision_feats", "current_vision_pos_embeds")
    }
    return {**repeated, "feat_sizes": features["feat_sizes"]}

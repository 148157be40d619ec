"""The inner steps of SAM2's video predictor, on a state that does not grow with the video.

Comments name the lines they mirror of sam2 1.1.0: VP is sam2/sam2_video_predictor.py, SB is
sam2/modeling/sam2_base.py.
"""

from __future__ import annotations

from typing import Any

import torch
from sam2.sam2_video_predictor import SAM2VideoPredictor

from tracker.masks import small_holes
from tracker.models.bounded_state import (
    Output,
    Outputs,
    Reach,
    TrackedFrames,
    forget,
    prompted_frames,
    readable,
)

State = dict[str, Any]
"""SAM2's `inference_state`."""


class BoundedPredictor(SAM2VideoPredictor):
    """`SAM2VideoPredictor` that forgets what it cannot read again, and keeps the predicted IoU.

    The public methods are those of `tracker.models.streaming.StreamingVideoPredictor`.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._reach = Reach.of(self)

    def _track_object(
        self, state: State, obj_idx: int, frame_idx: int, reverse: bool
    ) -> tuple[torch.Tensor, Output]:
        """One object on one frame, as VP:585-614; then forget what no later frame reads."""
        outputs = state["output_dict_per_obj"][obj_idx]
        out = outputs["cond_frame_outputs"].get(frame_idx)
        if out is not None:
            pred_masks = out["pred_masks"].to(state["device"])
            if self.clear_non_cond_mem_around_input:
                self._clear_obj_non_cond_mem_around_input(state, frame_idx, obj_idx)
        else:
            out, pred_masks = self._run_single_frame_inference(
                inference_state=state,
                output_dict=outputs,
                frame_idx=frame_idx,
                batch_size=1,
                is_init_cond_frame=False,
                point_inputs=None,
                mask_inputs=None,
                reverse=reverse,
                run_mem_encoder=True,
            )
            outputs["non_cond_frame_outputs"][frame_idx] = out
        state["frames_tracked_per_obj"][obj_idx][frame_idx] = {"reverse": reverse}
        prompted = prompted_frames(state["output_dict_per_obj"].values())
        forget(outputs, prompted | {frame_idx}, self._reach)
        return pred_masks, out

    def _obj_id_to_idx(self, inference_state: State, obj_id: Any) -> int:
        """As VP:118, with room for any number of tracked frames."""
        obj_idx = super()._obj_id_to_idx(inference_state, obj_id)
        tracked = inference_state["frames_tracked_per_obj"]
        if not isinstance(tracked[obj_idx], TrackedFrames):
            tracked[obj_idx] = TrackedFrames()
        return obj_idx

    def _clear_obj_non_cond_mem_around_input(
        self, state: State, frame_idx: int, obj_idx: int
    ) -> None:
        """The method that VP:526 and VP:598 call and sam2 lacks: VP:956-974 for one object."""
        reach = self.memory_temporal_stride_for_eval * self.num_maskmem
        outputs = state["output_dict_per_obj"][obj_idx]["non_cond_frame_outputs"]
        for frame in range(frame_idx - reach, frame_idx + reach + 1):
            outputs.pop(frame, None)

    def _run_single_frame_inference(
        self,
        inference_state: State,
        output_dict: Outputs,
        frame_idx: int,
        batch_size: int,
        is_init_cond_frame: bool,
        point_inputs: Any,
        mask_inputs: Any,
        reverse: bool,
        run_mem_encoder: bool,
        prev_sam_mask_logits: torch.Tensor | None = None,
    ) -> tuple[Output, torch.Tensor]:
        """As VP:737-803, with the predicted IoU, and holes filled in OpenCV."""
        _, _, features, position_encodings, sizes = self._get_image_feature(
            inference_state, frame_idx, batch_size
        )
        out = self.track_step(
            frame_idx=frame_idx,
            is_init_cond_frame=is_init_cond_frame,
            current_vision_feats=features,
            current_vision_pos_embeds=position_encodings,
            feat_sizes=sizes,
            point_inputs=point_inputs,
            mask_inputs=mask_inputs,
            output_dict=output_dict,
            num_frames=inference_state["num_frames"],
            track_in_reverse=reverse,
            run_mem_encoder=run_mem_encoder,
            prev_sam_mask_logits=prev_sam_mask_logits,
        )
        storage = inference_state["storage_device"]
        memory = out["maskmem_features"]
        pred_masks = fill_holes(out["pred_masks"], self.fill_hole_area)
        compact = {
            "maskmem_features": None if memory is None else memory.to(storage, torch.bfloat16),
            "maskmem_pos_enc": self._get_maskmem_pos_enc(inference_state, out),
            "pred_masks": pred_masks.to(storage),
            "obj_ptr": out["obj_ptr"],
            "object_score_logits": out["object_score_logits"],
            "predicted_iou": out["predicted_iou"],
        }
        return compact, pred_masks

    def _track_step(self, *args: Any, **kwargs: Any) -> Any:
        """As SB:728, which throws the predicted IoUs away. SB:383 takes the mask of the largest."""
        current_out, sam_outputs, *features = super()._track_step(*args, **kwargs)
        ious_bm = sam_outputs[2]
        current_out["predicted_iou"] = ious_bm.max(dim=-1).values
        return current_out, sam_outputs, *features

    def _prepare_memory_conditioned_features(
        self, frame_idx: int, output_dict: Outputs, **kwargs: Any
    ) -> torch.Tensor:
        """As SB:497; outputs that have kept only their pointer are not taken for memories.

        Memories are stored in bfloat16. SAM2 leaves it to an object pointer among them to bring the
        weights' type back, and crashes without autocast when there is none: when an object is only
        prompted later on. A conversion of the prompted ones changes no bits and covers that.
        """
        outputs = readable(output_dict, frame_idx, self._reach)
        dtype = self.maskmem_tpos_enc.dtype
        outputs["cond_frame_outputs"] = {
            frame: {**out, "maskmem_features": out["maskmem_features"].to(dtype)}
            for frame, out in outputs["cond_frame_outputs"].items()
        }
        return super()._prepare_memory_conditioned_features(
            frame_idx=frame_idx, output_dict=outputs, **kwargs
        )

    def _consolidate_temp_output_across_obj(
        self, inference_state: State, frame_idx: int, *args: Any, **kwargs: Any
    ) -> Output:
        """As VP:405; an object whose mask on this frame was dropped is shown as absent."""
        shown = {
            obj_idx: {
                kind: {t: out for t, out in outs.items() if out["pred_masks"] is not None}
                for kind, outs in outputs.items()
            }
            for obj_idx, outputs in inference_state["output_dict_per_obj"].items()
        }
        state = {**inference_state, "output_dict_per_obj": shown}
        return super()._consolidate_temp_output_across_obj(state, frame_idx, *args, **kwargs)


def fill_holes(logits_b1hw: torch.Tensor, max_area_px: int) -> torch.Tensor:
    """Holes of at most `max_area_px` pixels (8-connected, logit <= 0) get the logit 0.1.

    The rule of sam2/utils/misc.py:312 `fill_holes_in_mask_scores`, without its CUDA extension.
    `max_area_px` 0 leaves the logits as they are.
    """
    if max_area_px <= 0:
        return logits_b1hw
    masks_bhw = (logits_b1hw[:, 0] > 0).cpu().numpy()
    holes_bhw = torch.stack(
        [torch.from_numpy(small_holes(mask_hw, max_area_px)) for mask_hw in masks_bhw]
    )
    return torch.where(holes_bhw[:, None].to(logits_b1hw.device), 0.1, logits_b1hw)
